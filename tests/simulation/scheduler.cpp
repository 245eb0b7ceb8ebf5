#include "scheduler.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/family_lock.hpp"
#include "points.hpp"

namespace sansock::simulation {

Scheduler &Scheduler::get() {
    static Scheduler scheduler;
    return scheduler;
}

void Scheduler::reset(uint64_t seed, Watcher *watcher) {
    random = Random(seed);
    watcher_ = watcher;
    live_.clear();
    running_ = nullptr;
    now_ns_ = 1'000'000;
    points_ = 0;
    run_length_ = random.one_of<uint64_t>({1, 3, 10, 40});
    until_switch_ = 1;
    preempted_every_ = random.one_of<uint64_t>({0, 0, 4000, 700});
    until_preempted_ = 1 + random.below(1 + 2 * preempted_every_);
    failure_.clear();
}

Actor &Scheduler::spawn(std::string name, int process, std::function<void()> body) {
    if (pool_.size() == live_.size()) pool_.push_back(std::make_unique<Actor>());
    Actor &actor = *pool_[live_.size()];
    live_.push_back(&actor);
    actor.name = std::move(name);
    actor.process = process;
    actor.thread_id = static_cast<uint32_t>(live_.size());
    actor.state = Actor::State::kRunnable;
    actor.stopped = false;
    actor.stopped_until = 0;
    actor.weight = random.one_of<uint64_t>({1, 4, 16, 16, 16, 64, 1000});
    actor.wake_at = kForever;
    actor.fiber.start(std::move(body));
    return actor;
}

Actor *Scheduler::choose() {
    for (;;) {
        uint64_t sum = 0;
        uint64_t next_ns = kForever;
        for (Actor *actor : live_) {
            if (actor->stopped && actor->stopped_until <= now_ns_) actor->stopped = false;
            if (actor->state == Actor::State::kAsleep && actor->wake_at <= now_ns_) actor->state = Actor::State::kRunnable;
            if (actor->stopped) {
                next_ns = std::min(next_ns, actor->stopped_until);
            } else if (actor->state == Actor::State::kRunnable) {
                sum += actor->weight;
            } else if (actor->state == Actor::State::kAsleep) {
                next_ns = std::min(next_ns, actor->wake_at);
            }
        }
        if (sum > 0) {
            uint64_t at = random.below(sum);
            for (Actor *actor : live_) {
                if (actor->stopped || actor->state != Actor::State::kRunnable) continue;
                if (at < actor->weight) return actor;
                at -= actor->weight;
            }
        }
        if (next_ns == kForever) return nullptr;
        now_ns_ = next_ns;
    }
}

Scheduler::Stop Scheduler::run(uint64_t limit_ns, uint64_t limit_points) {
    limit_points_ = limit_points;
    Stop why = Stop::kQuiet;
    while (Actor *actor = choose()) {
        if (now_ns_ > limit_ns || points_ > limit_points) {
            why = points_ > limit_points ? Stop::kPoints : Stop::kTime;
            break;
        }
        now_ns_ += 200;
        running_ = actor;
        cached_thread_id = actor->thread_id;
        until_switch_ = random.skewed(2 * run_length_);
        if (!actor->fiber.resume()) actor->state = Actor::State::kDone;
        running_ = nullptr;
        if (!failure_.empty()) return Stop::kFailure;
    }
    return why;
}

void Scheduler::switch_from(Actor &actor) { actor.fiber.pause(); }

void Scheduler::yield() { switch_from(*running_); }

void Scheduler::point(const char *name) {
    Actor *actor = running_;
    if (actor == nullptr) return;
    ++points_;
    watcher_->passed(*actor, point_id(name));
    if (preempted_every_ != 0 && --until_preempted_ == 0) preempt(*actor);
    if (actor->state != Actor::State::kRunnable || actor->stopped || --until_switch_ == 0) switch_from(*actor);
}

/// One thread alone loses its processor for a while, in the middle of whatever it is at.
void Scheduler::preempt(Actor &actor) {
    until_preempted_ = 1 + random.below(2 * preempted_every_);
    if (actor.stopped || actor.name == "operator") return;  // who asks for steps, which everybody else waits for
    actor.stopped = true;
    actor.stopped_until = now_ns_ + random.skewed(kPreemptedNsMax);
    watcher_->preempted(actor);
}

bool Scheduler::sleep(std::array<const void *, 3> keys, uint64_t until_ns) {
    Actor &actor = *running_;
    if (until_ns <= now_ns_) return false;
    actor.state = Actor::State::kAsleep;
    actor.keys = keys;
    actor.wake_at = until_ns;
    actor.woken = false;
    switch_from(actor);
    return actor.woken;
}

int Scheduler::wake(const void *key) {
    int woken = 0;
    for (Actor *actor : live_) {
        if (actor->state != Actor::State::kAsleep) continue;
        if (std::find(actor->keys.begin(), actor->keys.end(), key) == actor->keys.end()) continue;
        actor->state = Actor::State::kRunnable;
        actor->woken = true;
        ++woken;
    }
    return woken;
}

void Scheduler::kill(int process, const Actor *except) {
    for (Actor *actor : live_) {
        if (actor->process == process && actor != except) actor->state = Actor::State::kGone;
    }
}

void Scheduler::stop(int process, uint64_t until_ns) {
    for (Actor *actor : live_) {
        if (actor->process != process) continue;
        actor->stopped = true;
        actor->stopped_until = until_ns;
    }
}

bool Scheduler::thread_lives(uint32_t thread_id) const {
    return thread_id >= 1 && thread_id <= live_.size() && live_[thread_id - 1]->state != Actor::State::kGone &&
           live_[thread_id - 1]->state != Actor::State::kDone;
}

void Scheduler::fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
    trace("FAILED: %s", failure_.c_str());
    if (running_ != nullptr) {
        running_->state = Actor::State::kGone;
        switch_from(*running_);
    }
}

int Scheduler::point_id(const char *name) {
    // The same literal has an address in every translation unit; each is looked up by its text once.
    struct Entry {
        const char *name;
        int id;
    };
    static Entry known[1024];
    for (size_t at = (reinterpret_cast<uintptr_t>(name) >> 2) % 1024;; at = (at + 1) % 1024) {
        if (known[at].name == name) return known[at].id;
        if (known[at].name != nullptr) continue;
        const auto names = point_names();
        const auto found = std::find_if(names.begin(), names.end(), [&](const char *other) { return std::strcmp(name, other) == 0; });
        if (found == names.end()) {
            std::fprintf(stderr, "point %s is not listed in points.cpp\n", name);
            std::abort();
        }
        known[at] = {name, static_cast<int>(found - names.begin())};
        return known[at].id;
    }
}

void Scheduler::trace(const char *format, ...) {
    if (!tracing) return;
    std::printf("%10.3f us  %-12s ", static_cast<double>(now_ns_) / 1000.0, running_ == nullptr ? "" : running_->name.c_str());
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::putchar('\n');
}

}  // namespace sansock::simulation
