// The portable provider between two hosts: network namespaces with a wire between them. Needs root and the program `ip`.
#include <gmock/gmock.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "second_process.hpp"
#include "portable_stranger.hpp"

namespace sansock::portable {
namespace {

using conformance::End;
using conformance::Process;
using conformance::receive_offer;
using conformance::send_offer;
using conformance::Target;
using conformance::wait_until;

constexpr int kMayNot = 77;  ///< Exit status of a process that may not make a namespace.
constexpr std::uint64_t kLength = 100'000;

void ip(const std::string &words) {
    if (std::system(("ip " + words).c_str()) != 0) throw std::runtime_error("ip " + words);
}

void enter_host() {
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(kMayNot);
    ip("link set lo up");
}

Target target(const std::string &options) { return {"portable", "portable", "options: " + options, {SANSOCK_PLUGINS}}; }

/// The far host: answers one offer, sends back what comes, and goes when its peer does.
void echo(const Target &target, int channel) {
    enter_host();
    if (::write(channel, "n", 1) != 1) return;  // The near host lays the wire.
    char byte = 0;
    if (::read(channel, &byte, 1) != 1) return;
    for (const char *words : {"addr add 192.0.2.2/24 dev far", "addr add 2001:db8::2/64 dev far nodad", "link set far up",
                              "route add 198.51.100.0/24 via 192.0.2.99"}) {
        ip(words);
    }
    std::optional<plugin::Host> host;
    auto provider = open_target(target, host);
    if (!provider) throw std::runtime_error(provider.error().text);
    End end(*provider, 8, 8, 2 * kLength);
    if (end.receive(0, kLength) != SANSOCK_OK || ::write(channel, "u", 1) != 1) throw std::runtime_error("the far host");
    const auto answer = end.endpoint->accept_offer(receive_offer(channel));
    if (!answer) throw std::runtime_error(answer.error().text);
    send_offer(channel, *answer);
    while (end.failure() == SANSOCK_OK) {
        end.poll();
        for (const sansock_completion &each : std::exchange(end.reported, {})) {
            if (each.kind == SANSOCK_COMPLETION_STATE && each.status != SANSOCK_OK) return;
            if (each.kind != SANSOCK_COMPLETION_RECEIVE || each.status != SANSOCK_OK) continue;
            std::memcpy(end.memory.at(kLength), end.memory.at(0), each.length);
            if (end.receive(0, kLength) != SANSOCK_OK || end.send(kLength, each.length) != SANSOCK_OK) return;
            wait_until([&] { return end.count(SANSOCK_COMPLETION_SEND) == 1 || end.failure() != SANSOCK_OK; }, end);
        }
    }
}

/// The near host, connected to the far one. It runs in a process of its own, since it leaves the network of the test.
class TwoHosts {
public:
    TwoHosts(const std::string &near_options, const std::string &far_options, const std::vector<std::string> &addresses)
        : far_([far_options](int channel) { echo(target(far_options), channel); }) {
        enter_host();
        expect("n");
        ip("link add near type veth peer name far netns " + std::to_string(far_.pid()));
        for (const std::string &address : addresses) ip(address);
        ip("link set near up");
        if (::write(far_.channel(), "", 1) != 1) throw std::runtime_error("the far host");
        expect("u");
        wait_for(*parse_address("192.0.2.1"));
        auto opened = open_target(target(near_options), host_);
        if (!opened) throw std::runtime_error(opened.error().text);
        provider_.emplace(std::move(*opened));
        end_.emplace(*provider_, 8, 8, 2 * kLength);
        const auto offer = end_->endpoint->make_offer();
        if (!offer) throw std::runtime_error(offer.error().text);
        send_offer(far_.channel(), *offer);
        const auto taken = end_->endpoint->take_answer(receive_offer(far_.channel()));
        if (!taken) throw std::runtime_error(taken.error().text);
        wait_until([&] { return end_->established() || end_->failure() != SANSOCK_OK; }, *end_);
        if (!end_->established()) throw std::runtime_error(sansock_status_name(end_->failure()));
    }

    void exchange() {
        End &end = *end_;
        for (std::uint64_t round = 0; round < 50; ++round) {
            const std::uint64_t length = round * kLength / 50;
            fill(end.memory, 0, length, round);
            end.reported.clear();
            if (end.receive(kLength, kLength) != SANSOCK_OK || end.send(0, length) != SANSOCK_OK) throw std::runtime_error("posting");
            wait_until([&] { return end.count(SANSOCK_COMPLETION_RECEIVE) == 1 && end.count(SANSOCK_COMPLETION_SEND) == 1; }, end);
            if (!holds(end.memory, kLength, length, round)) throw std::runtime_error("it came back damaged");
        }
    }
    [[nodiscard]] End &end() { return *end_; }

private:
    void expect(const char *what) const {
        char byte = 0;
        if (::read(far_.channel(), &byte, 1) != 1 || byte != *what) throw std::runtime_error("the far host");
    }

    /// The kernel says a little later that the wire is there than it says that the interface is up.
    static void wait_for(const Address &address) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        for (;;) {
            const auto all = addresses_of_host(true, kAddressesMax);
            if (std::ranges::find(all, address) != all.end()) return;
            if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the wire");
        }
    }

    Process far_;
    std::optional<plugin::Host> host_;
    std::optional<plugin::Provider> provider_;
    std::optional<End> end_;
};

/// Runs `body` in a process of its own; its exceptions are the test's failures.
void apart(const std::function<void()> &body) {
    Process process([&](int) { body(); });
    const int status = process.wait();
    if (WIFEXITED(status) && WEXITSTATUS(status) == kMayNot) GTEST_SKIP() << "may not make a network namespace";
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

const std::string kFour = "addr add 192.0.2.1/24 dev near";
const std::string kSix = "addr add 2001:db8::1/64 dev near nodad";

TEST(PortableHosts, AreConnectedWithoutASetting) {
    apart([] { TwoHosts("{}", "{}", {kFour, kSix}).exchange(); });
}

TEST(PortableHosts, AreConnectedByTheAddressThatIsSet) {
    for (const char *address : {"192.0.2.1", "2001:db8::1"}) {
        apart([&] { TwoHosts(std::string("{ports: 7000-7009, address: \"") + address + "\"}", "{}", {kFour, kSix}).exchange(); });
    }
}

TEST(PortableHosts, AreConnectedThoughTheFirstAddressAnswersNothing) {
    apart([] {
        const std::string out_of_reach = "addr add 198.51.100.1/24 dev dead";
        TwoHosts("{}", "{connect_timeout: 100ms}",
                 {"link add dead type veth peer name end", "link set dead up", "link set end up", out_of_reach, kFour})
            .exchange();
    });
}

TEST(PortableHosts, TheEndOfTheWireIsNoticed) {
    apart([] {
        TwoHosts hosts("{timeout: 2s}", "{timeout: 2s}", {kFour});
        hosts.exchange();
        End &end = hosts.end();
        ip("link set near down");
        while (end.failure() == SANSOCK_OK) {
            end.poll();
            if (!end.queue.arm()) throw std::runtime_error("arm");
            end.poll();
            pollfd waiting{.fd = end.queue.notification_fd(), .events = POLLIN, .revents = 0};
            if (end.failure() == SANSOCK_OK && ::poll(&waiting, 1, 20'000) != 1) throw std::runtime_error("nobody tells of it");
        }
        if (end.failure() != SANSOCK_ETIMEDOUT) throw std::runtime_error(sansock_status_name(end.failure()));
    });
}

}  // namespace
}  // namespace sansock::portable
