// Every way to end: closed, failed, killed; and nothing stays behind.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <thread>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

std::size_t open_descriptors() {
    std::size_t count = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) count += !entry.path().empty();
    return count;
}

/// Of memory that is shared with somebody, and of a device's.
std::size_t mappings() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);)
        count += line.find("memfd:") != std::string::npos || line.find(" /dev/") != std::string::npos;
    return count;
}

TEST_P(ProviderConformance, EveryTokenCompletesOnce) {
    // The wrapper under the ends answers EPROTO to a token that was not posted or completes twice; here it is counted
    // that none is missing, with both ends posting at random and one of them closing in the middle.
    for (int round = 0; round < 20; ++round) {
        End a(provider(), 6, 6), b(provider(), 6, 6);
        connect(a, b);
        std::map<const End *, std::size_t> posted;
        const std::uint32_t steps = 20 + below(200);
        for (std::uint32_t step = 0; step < steps; ++step) {
            End &end = below(2) == 0 ? a : b;
            const std::uint64_t length = below(2000);
            const std::int32_t status = below(2) == 0 ? end.send(0, length, step) : end.receive(4096, 2000, step);
            if (status == SANSOCK_OK) {
                ++posted[&end];
            } else {
                // With the limit `fails`, a send that finds no receive ends the connection early.
                ASSERT_TRUE(status == SANSOCK_EAGAIN || status == SANSOCK_ENOTCONN) << sansock_status_name(status);
            }
            if (below(3) == 0) (below(2) == 0 ? a : b).poll();
        }
        b.endpoint.reset();
        poll_until(
            [&] {
                // What still waits for a receive is delivered before the end is reported.
                if (a.receive(4096, 2000, steps) == SANSOCK_OK) ++posted[&a];
                return a.failure() != SANSOCK_OK;
            },
            {&a});
        EXPECT_EQ(a.reported.back().kind, SANSOCK_COMPLETION_STATE) << "the change of state comes last";
        EXPECT_EQ(a.count(SANSOCK_COMPLETION_SEND) + a.count(SANSOCK_COMPLETION_RECEIVE), posted[&a]);
        if (HasFailure()) return;
    }
}

TEST_P(ProviderConformance, EndpointsCanBeClosedInEveryState) {
    { End created(provider()); }
    {
        End offered(provider());
        ASSERT_TRUE(offered.endpoint->make_offer());
        ASSERT_EQ(offered.receive(0, 64), SANSOCK_OK);
    }
    {
        End offered(provider()), accepted(provider());
        const auto offer = offered.endpoint->make_offer();
        ASSERT_TRUE(offer && accepted.endpoint->accept_offer(*offer));
        offered.endpoint.reset();
        poll_until([&] { return accepted.failure() != SANSOCK_OK; }, {&accepted});
    }
    {
        End offered(provider()), accepted(provider());
        const auto offer = offered.endpoint->make_offer();
        ASSERT_TRUE(offer);
        const auto answer = accepted.endpoint->accept_offer(*offer);
        ASSERT_TRUE(answer);
        accepted.endpoint.reset();
        // The answer may be good enough or not any more; either way the end hears of it.
        if (offered.endpoint->take_answer(*answer)) {
            poll_until([&] { return offered.failure() != SANSOCK_OK; }, {&offered});
        }
    }
    {
        End a(provider()), b(provider());
        connect(a, b);
        ASSERT_EQ(a.receive(0, 64), SANSOCK_OK);
        ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
        a.endpoint.reset();
        poll_until([&] { return b.failure() != SANSOCK_OK || b.receive(0, 64) == SANSOCK_ENOTCONN; }, {&b});
        b.endpoint.reset();  // Failed.
    }
}

TEST_P(ProviderConformance, WhatWasSentArrivesBeforeTheEndDoes) {
    End a(provider()), b(provider());
    connect(a, b);
    for (std::uint64_t token = 0; token < 8; ++token) ASSERT_EQ(b.receive(token * 64, 64, token), SANSOCK_OK);
    for (std::uint64_t token = 0; token < 4; ++token) {
        fill(a.memory, token * 64, 64, token);
        ASSERT_EQ(a.send(token * 64, 64, token), SANSOCK_OK);
    }
    poll_until([&] { return a.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK) == 4; }, {&a});
    a.endpoint.reset();
    poll_until([&] { return b.failure() != SANSOCK_OK; }, {&b});
    EXPECT_EQ(b.failure(), SANSOCK_ECONNRESET);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 4U);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 4U);
    for (std::uint64_t token = 0; token < 4; ++token) EXPECT_TRUE(holds(b.memory, token * 64, 64, token));
}

TEST_P(ProviderConformance, WhatWasSentArrivesThoughTheSenderHasLeftMessagesUnread) {
    const auto &limits = provider().limits();
    if (limits.unreceived != SANSOCK_UNRECEIVED_WAITS) GTEST_SKIP() << "messages do not wait for receives";
    const std::uint64_t length = std::min<std::uint64_t>(limits.message_bytes_max, 64 * 1024);
    const std::uint32_t depth = std::min(limits.send_depth_max, 64U);
    End a(provider(), 8, 4, 64 * 1024), b(provider(), depth, 4, 64 * 1024);
    connect(a, b);
    for (int count = 0; count < 4; ++count) ASSERT_EQ(a.send(0, length), SANSOCK_OK);
    std::size_t before = 0;
    do {  // As much as goes: some of it may not have left this end when that is closed.
        before = b.count(SANSOCK_COMPLETION_SEND);
        while (b.send(0, length) == SANSOCK_OK) continue;
        for (int polls = 0; polls < 100; ++polls) b.poll();
    } while (b.count(SANSOCK_COMPLETION_SEND) > before && before < 1000);
    const std::size_t sent = b.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK);
    b.endpoint.reset();
    poll_until(
        [&] {
            while (a.receive(0, length) == SANSOCK_OK) continue;
            return a.failure() != SANSOCK_OK;
        },
        {&a});
    EXPECT_GE(a.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), sent);
}

TEST_P(ProviderConformance, FailedEndpointsTakeNothingMore) {
    End a(provider()), b(provider());
    connect(a, b);
    b.endpoint.reset();
    poll_until([&] { return a.failure() != SANSOCK_OK; }, {&a});
    EXPECT_EQ(a.endpoint->state(), SANSOCK_ENDPOINT_FAILED);
    EXPECT_EQ(a.send(0, 64), SANSOCK_ENOTCONN);
    EXPECT_EQ(a.receive(0, 64), SANSOCK_ENOTCONN);
    EXPECT_EQ(a.endpoint->make_offer().error().code, EINVAL);
    const std::size_t reported = a.reported.size();
    for (int polls = 0; polls < 100; ++polls) a.poll();
    EXPECT_EQ(a.reported.size(), reported) << "the end is reported once";
}

TEST_P(ProviderConformance, OthersGoOnWhenOneEndpointFails) {
    End a(provider()), b(provider()), c(provider()), d(provider());
    connect(a, b);
    connect(c, d);
    b.endpoint.reset();
    poll_until([&] { return a.failure() != SANSOCK_OK; }, {&a});
    ASSERT_EQ(d.receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(c.send(0, 64), SANSOCK_OK);
    poll_until([&] { return d.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == 1; }, {&c, &d});
}

TEST_P(ProviderConformance, NothingStaysBehind) {
    const auto cycle = [&] {
        End a(provider()), b(provider());
        connect(a, b);
        ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
        End offered(provider()), accepted(provider());  // and is closed while it is being connected
        const auto offer = offered.endpoint->make_offer();
        ASSERT_TRUE(offer);
        const auto answer = accepted.endpoint->accept_offer(*offer);
        ASSERT_TRUE(answer && offered.endpoint->take_answer(*answer));
    };
    cycle();  // What a first use sets up once is not counted.
    const std::size_t descriptors = open_descriptors(), maps = mappings();
    for (int round = 0; round < 30; ++round) ASSERT_NO_FATAL_FAILURE(cycle());
    // A thread of the provider's may have to take apart what was being connected.
    for (int looks = 0; looks < 200 && (open_descriptors() > descriptors || mappings() > maps); ++looks)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_LE(open_descriptors(), descriptors);
    EXPECT_LE(mappings(), maps);
}

}  // namespace
}  // namespace sansock::conformance
