// What is between the two processes.
#include "base/point.hpp"
#include "world.hpp"

namespace sansock::simulation {

void World::run_path() {
    for (;;) {
        SANSOCK_POINT("wire");
        if (path_stopped && (tcp.can_deliver(0) || tcp.can_deliver(1))) felt();
        const int first = static_cast<int>(scheduler.random.below(2));
        const size_t size = scheduler.random.skewed(scenario.path_step_max);
        if (path_stopped || (!tcp.deliver(first, size) && !tcp.deliver(1 - first, size))) {
            scheduler.sleep({tcp.path_key()}, kForever);
        } else if (scenario.path_nap_ns > 0 && scheduler.random.chance(30)) {
            scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.below(scenario.path_nap_ns));
        }
    }
}

void World::run_channel() {
    for (;;) {
        SANSOCK_POINT("channel");
        const int first = static_cast<int>(scheduler.random.below(2));
        if (!channel.deliver(first) && !channel.deliver(1 - first)) {
            scheduler.sleep({channel.path_key()}, kForever);
        } else if (scenario.far.channel_nap_ns > 0 && scheduler.random.chance(30)) {
            scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.below(scenario.far.channel_nap_ns));
        }
    }
}

/// The provider of messages: a message leaves its sender's memory, and arrives; an end that has failed is heard of at the other one.
void World::run_provider() {
    if (scheduler.random.chance(50)) scheduler.sleep({}, scheduler.now_ns() + scheduler.random.skewed(1'000'000));
    const auto connect = [&](Line &line) {
        if (line.connected || line.ends[0] == nullptr || line.ends[1] == nullptr) return false;
        line.connected = true;
        // Of a provider that is silent, and now and then of another, a new connection does not come about.
        const bool fails = &line != &lines[0] && scheduler.random.chance(20);
        const int32_t status = provider_silent_ ? SANSOCK_ETIMEDOUT : fails ? SANSOCK_EIO : SANSOCK_OK;
        for (int side = 0; side < 2; ++side) {
            line.ends[side]->paper.connect(line.ends[1 - side]->paper, status);
        }
        return true;
    };
    const auto carry = [&](Line &line, int side) {
        if (!line.connected) return false;
        path::MemoryEndpoint &end = line.ends[side]->paper;
        if (line.ends[1 - side]->paper.is_broken() && end.fail(SANSOCK_ECONNRESET)) return true;
        if (provider_silent_) return false;
        if (scenario.far.acknowledged) return end.deliver();
        return scheduler.random.chance(50) ? end.take() || end.arrive() : end.arrive() || end.take();
    };
    for (;;) {
        SANSOCK_POINT("provider");
        const int first = static_cast<int>(scheduler.random.below(2));
        bool moved = false;
        for (size_t i = 0; i < lines.size(); ++i) {
            moved |= connect(lines[i]) || carry(lines[i], first) || carry(lines[i], 1 - first);
        }
        for (int side = 0; side < 2; ++side) {
            SimulatedEndpoint &end = process[side]->far->endpoint();
            if (!end.paper.has_news()) continue;
            end.paper.armed.reset();
            process[side]->far->notified = true;
            scheduler.wake(channel.key(side));
        }
        if (!moved) {
            scheduler.sleep({provider_key()}, kForever);
        } else if (scenario.far.path_nap_ns > 0 && scheduler.random.chance(30)) {
            scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.below(scenario.far.path_nap_ns));
        }
    }
}

}  // namespace sansock::simulation
