// Messages arrive whole, once, in order, and what was lent comes back exactly once.
#include <algorithm>
#include <deque>
#include <set>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

/// One message from `from` to `to`, through offset 0 of both memories.
void carry(std::uint64_t length, std::uint64_t start, End &from, End &to,
           const std::function<void(const std::function<bool()> &)> &poll_until) {
    const std::size_t received = to.count(SANSOCK_COMPLETION_RECEIVE);
    const std::size_t sent = from.count(SANSOCK_COMPLETION_SEND);
    fill(from.memory, 0, length, start);
    ASSERT_EQ(to.receive(0, length, start), SANSOCK_OK);
    ASSERT_EQ(from.send(0, length, start), SANSOCK_OK);
    poll_until([&] { return to.count(SANSOCK_COMPLETION_RECEIVE) > received && from.count(SANSOCK_COMPLETION_SEND) > sent; });
    EXPECT_EQ(to.reported.back().status, SANSOCK_OK);
    EXPECT_EQ(to.reported.back().length, length);
    EXPECT_EQ(to.reported.back().token, start);
    EXPECT_TRUE(holds(to.memory, 0, length, start));
}

TEST_P(ProviderConformance, MessagesArriveWholeAtEveryEdgeOfSize) {
    const auto &limits = provider().limits();
    End a(provider(), 8, 8, limits.message_bytes_max), b(provider(), 8, 8, limits.message_bytes_max);
    connect(a, b);
    std::set<std::uint64_t> lengths{0, 1, 63, 64, 65, 4095, 4096};
    for (const std::uint64_t edge : {std::uint64_t{limits.inline_bytes_max}, limits.message_bytes_max, std::uint64_t{48}}) {
        for (const std::uint64_t length : {edge - 1, edge, edge + 1}) lengths.insert(length);
    }
    std::uint64_t start = 0;
    for (const std::uint64_t length : lengths) {
        if (length > limits.message_bytes_max) continue;
        const auto wait = [&](const std::function<bool()> &done) { poll_until(done, {&a, &b}); };
        carry(length, ++start, a, b, wait);
        carry(length, ++start, b, a, wait);
    }
}

TEST_P(ProviderConformance, MessagesKeepTheirOrder) {
    constexpr std::uint64_t kPlace = 512;
    End a(provider(), 8, 8), b(provider(), 8, 8);
    connect(a, b);
    std::uint64_t posted = 0, sent = 0, received = 0, filled = 0;
    std::deque<std::uint64_t> lengths;
    poll_until(
        [&] {
            for (; posted < received + 8; ++posted) EXPECT_EQ(b.receive(posted % 8 * kPlace, kPlace, posted), SANSOCK_OK);
            for (; filled < sent + 8 && filled < 400; ++filled) {
                lengths.push_back(below(kPlace + 1));
                fill(a.memory, filled % 8 * kPlace, lengths.back(), filled);
                EXPECT_EQ(a.send(filled % 8 * kPlace, lengths.back(), filled), SANSOCK_OK);
            }
            for (const sansock_completion &each : a.reported) {
                if (each.kind != SANSOCK_COMPLETION_SEND) continue;
                EXPECT_EQ(each.token, sent++);
            }
            for (const sansock_completion &each : b.reported) {
                if (each.kind != SANSOCK_COMPLETION_RECEIVE) continue;
                EXPECT_EQ(each.token, received);
                EXPECT_EQ(each.length, lengths.front());
                EXPECT_TRUE(holds(b.memory, received % 8 * kPlace, each.length, received));
                lengths.pop_front();
                ++received;
            }
            a.reported.clear();
            b.reported.clear();
            return received == 400 || HasFailure();
        },
        {&a, &b});
}

TEST_P(ProviderConformance, MessagesAreGatheredAndScattered) {
    const std::uint32_t slices = std::min<std::uint32_t>(provider().limits().slice_count_max, 5);
    End a(provider()), b(provider());
    connect(a, b);
    fill(a.memory, 0, 1000, 7);
    std::vector<sansock_slice> from, to;
    for (std::uint64_t at = 0, offset = 0; at < slices; ++at) {
        const std::uint64_t length = at + 1 == slices ? 1000 - offset : at * 70;  // The first is empty.
        from.push_back(a.memory.slice(offset, length));
        offset += length;
    }
    for (std::uint64_t at = 0; at < slices; ++at) to.push_back(b.memory.slice(at * 2000, at + 1 == slices ? 1000 : 90));
    ASSERT_EQ(b.endpoint->post_receive(to, 1), SANSOCK_OK);
    ASSERT_EQ(a.endpoint->post_send(from, 1), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
    std::uint64_t taken = 0;
    for (const sansock_slice &slice : to) {
        const std::uint64_t part = std::min<std::uint64_t>(slice.length, 1000 - taken);
        for (std::uint64_t at = 0; at < part; ++at) {
            ASSERT_EQ(static_cast<std::uint8_t *>(slice.address)[at], pattern(7, taken + at));
        }
        taken += part;
    }
    EXPECT_EQ(taken, 1000U);
}

TEST_P(ProviderConformance, UnregisteredBytesAreTakenAtOnce) {
    const std::uint32_t length = provider().limits().inline_bytes_max;
    if (length == 0) GTEST_SKIP() << "the provider takes registered memory only";
    End a(provider()), b(provider());
    connect(a, b);
    std::vector<std::uint8_t> bytes(length);
    for (std::uint32_t at = 0; at < length; ++at) bytes[at] = pattern(3, at);
    const sansock_slice slice{bytes.data(), length, nullptr};
    ASSERT_EQ(a.endpoint->post_send({&slice, 1}, 1), SANSOCK_OK);
    std::ranges::fill(bytes, std::uint8_t{0});
    ASSERT_EQ(b.receive(0, length, 1), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
    EXPECT_TRUE(holds(b.memory, 0, length, 3));
}

TEST_P(ProviderConformance, RefusesWhatBreaksALimitAndGoesOn) {
    const auto &limits = provider().limits();
    End a(provider(), 8, 8, limits.message_bytes_max + 4096), b(provider());
    connect(a, b);
    EXPECT_EQ(a.send(0, limits.message_bytes_max + 1), SANSOCK_EMSGSIZE);
    std::vector<std::uint8_t> bytes(limits.inline_bytes_max + 1);
    const sansock_slice unregistered{bytes.data(), bytes.size(), nullptr};
    EXPECT_EQ(a.endpoint->post_send({&unregistered, 1}, 0), SANSOCK_EINVAL);
    EXPECT_EQ(a.endpoint->post_receive({&unregistered, 1}, 0), SANSOCK_EINVAL) << "receives need registered memory";
    const std::vector<sansock_slice> many(limits.slice_count_max + 1, a.memory.slice(0, 1));
    EXPECT_EQ(a.endpoint->post_send(many, 0), SANSOCK_EINVAL);
    EXPECT_EQ(a.endpoint->post_receive(many, 0), SANSOCK_EINVAL);
    sansock_slice outside = b.memory.slice(0, 8);
    outside.address = b.memory.at(64 * 1024 - 4);
    EXPECT_EQ(b.endpoint->post_send({&outside, 1}, 0), SANSOCK_EINVAL);
    EXPECT_EQ(b.endpoint->post_receive({&outside, 1}, 0), SANSOCK_EINVAL);
    outside.address = b.memory.at(0) - 4;
    EXPECT_EQ(b.endpoint->post_send({&outside, 1}, 0), SANSOCK_EINVAL);
    outside = {b.memory.at(8), UINT64_MAX - 4, outside.region};
    EXPECT_EQ(b.endpoint->post_receive({&outside, 1}, 0), SANSOCK_EINVAL);
    carry(100, 1, a, b, [&](const std::function<bool()> &done) { poll_until(done, {&a, &b}); });
}

TEST_P(ProviderConformance, SendsAreLimitedByTheirDepth) {
    End a(provider(), 4, 1), b(provider(), 1, 8);
    connect(a, b);
    // Nothing is polled at the sender, so nothing it has posted ends.
    for (std::uint64_t token = 0; token < 4; ++token) {
        ASSERT_EQ(b.receive(token * 64, 64, token), SANSOCK_OK);
        ASSERT_EQ(a.send(0, 64, token), SANSOCK_OK);
    }
    EXPECT_EQ(a.send(0, 64, 4), SANSOCK_EAGAIN);
    poll_until([&] { return a.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK) == 4; }, {&a, &b});
    EXPECT_EQ(a.send(0, 64, 4), SANSOCK_OK) << "a completion that was polled makes room";
}

TEST_P(ProviderConformance, ReceivesAreLimitedByTheirDepth) {
    End a(provider(), 8, 1), b(provider(), 1, 4);
    connect(a, b);
    for (std::uint64_t token = 0; token < 4; ++token) ASSERT_EQ(b.receive(0, 64, token), SANSOCK_OK);
    EXPECT_EQ(b.receive(0, 64, 4), SANSOCK_EAGAIN);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
    EXPECT_EQ(b.receive(0, 64, 4), SANSOCK_OK);
}

TEST_P(ProviderConformance, MessagesWithoutAReceiveWaitOrFailAsTheLimitsSay) {
    End a(provider()), b(provider());
    connect(a, b);
    fill(a.memory, 0, 300, 9);
    ASSERT_EQ(a.send(0, 300), SANSOCK_OK);
    if (provider().limits().unreceived == SANSOCK_UNRECEIVED_FAILS) {
        poll_until([&] { return a.failure() != SANSOCK_OK && b.failure() != SANSOCK_OK; }, {&a, &b});
        // Of a device's transport it is the sender who learns the reason, if anybody.
        EXPECT_TRUE(b.failure() == SANSOCK_EOVERFLOW || b.failure() == SANSOCK_ECONNRESET) << b.failure();
        return;
    }
    for (int polls = 0; polls < 1000; ++polls) {
        a.poll();
        b.poll();
    }
    ASSERT_EQ(b.failure(), SANSOCK_OK);
    ASSERT_EQ(b.receive(0, 300), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == 1; }, {&a, &b});
    EXPECT_TRUE(holds(b.memory, 0, 300, 9));
}

TEST_P(ProviderConformance, MessagesLongerThanTheirReceiveFailBothEnds) {
    End a(provider()), b(provider());
    connect(a, b);
    ASSERT_EQ(b.receive(0, 99, 1), SANSOCK_OK);
    ASSERT_EQ(b.receive(100, 99, 2), SANSOCK_OK);
    ASSERT_EQ(a.send(0, 100), SANSOCK_OK);
    poll_until([&] { return a.failure() != SANSOCK_OK && b.failure() != SANSOCK_OK; }, {&a, &b});
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_EMSGSIZE), 1U);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 1U);
    EXPECT_EQ(*b.memory.at(99), 0) << "nothing is written behind the receive";
}

TEST_P(ProviderConformance, CompletionsComeInBatchesNoLargerThanAsked) {
    End a(provider()), b(provider());
    connect(a, b);
    for (std::uint64_t token = 0; token < 6; ++token) {
        ASSERT_EQ(b.receive(token * 64, 64, token), SANSOCK_OK);
        ASSERT_EQ(a.send(0, 64, token), SANSOCK_OK);
    }
    std::uint64_t next = 0;
    poll_until(
        [&] {
            std::array<sansock_completion, 3> room{};
            room[1].kind = room[2].kind = 0xdead;
            const auto count = b.queue.poll(std::span(room).first(1));
            EXPECT_TRUE(count && *count <= 1);
            EXPECT_EQ(room[1].kind, 0xdeadU) << "written beyond the room that was given";
            if (count && *count == 1) {
                EXPECT_EQ(room[0].token, next++);
            }
            return next == 6 || HasFailure();
        },
        {&a});
}

TEST_P(ProviderConformance, ReceivesMayBePostedBeforeTheConnection) {
    End a(provider()), b(provider());
    ASSERT_EQ(a.receive(0, 64, 1), SANSOCK_OK);
    ASSERT_EQ(b.receive(0, 64, 1), SANSOCK_OK);
    connect(a, b);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    ASSERT_EQ(b.send(0, 64), SANSOCK_OK);
    poll_until([&] { return a.count(SANSOCK_COMPLETION_RECEIVE) == 1 && b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
}

TEST_P(ProviderConformance, EndpointsAreToldApartByTheirContext) {
    constexpr std::uint64_t kEndpoints = 5;
    auto queue = provider().create_completion_queue(kEndpoints * 4);
    ASSERT_TRUE(queue) << queue.error().text;
    std::vector<plugin::Endpoint> endpoints;
    std::deque<End> peers;
    for (std::uint64_t at = 0; at < kEndpoints; ++at) {
        auto made = provider().create_endpoint(*queue, {.send_depth = 2, .receive_depth = 2, .context = 1000 + at});
        ASSERT_TRUE(made) << made.error().text;
        const auto offer = made->make_offer();
        ASSERT_TRUE(offer) << offer.error().text;
        End &peer = peers.emplace_back(provider());
        const auto answer = peer.endpoint->accept_offer(*offer);
        ASSERT_TRUE(answer) << answer.error().text;
        ASSERT_TRUE(made->take_answer(*answer));
        endpoints.push_back(std::move(*made));
    }
    Memory memory(provider(), 4096);
    for (std::uint64_t at = 0; at < kEndpoints; ++at) {
        const sansock_slice into = memory.slice(at * 64, 64);
        ASSERT_EQ(endpoints[at].post_receive({&into, 1}, at), SANSOCK_OK);
        poll_until([&] { return peers[at].established(); }, {&peers[at]});
        ASSERT_EQ(peers[at].send(0, 10 + at), SANSOCK_OK);
    }
    std::set<std::uint64_t> seen;
    poll_until(
        [&] {
            std::array<sansock_completion, 4> batch;
            const auto count = queue->poll(batch);
            EXPECT_TRUE(count) << count.error().text;
            for (const sansock_completion &each : std::span(batch).first(count.value_or(0))) {
                if (each.kind != SANSOCK_COMPLETION_RECEIVE) continue;
                EXPECT_EQ(each.context, 1000 + each.token);
                EXPECT_EQ(each.length, 10 + each.token);
                seen.insert(each.token);
            }
            return seen.size() == kEndpoints || HasFailure();
        },
        {});
}

/// As many as a busy server's process has; what a provider has only so much of shows.
TEST_P(ProviderConformance, AHundredConnectionsCarryAtATime) {
    constexpr std::size_t kConnections = 100;
    std::deque<End> ends;
    for (std::size_t at = 0; at < kConnections; ++at) {
        End &a = ends.emplace_back(provider(), 2, 2, 4096);
        End &b = ends.emplace_back(provider(), 2, 2, 4096);
        ASSERT_NO_FATAL_FAILURE(connect(a, b)) << "connection " << at;
    }
    for (std::size_t at = 0; at < kConnections; ++at) {
        End &a = ends[2 * at], &b = ends[2 * at + 1];
        ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
        fill(a.memory, 0, 64, at);
        ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
        poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == 1 || HasFailure(); }, {&a, &b});
        ASSERT_TRUE(holds(b.memory, 0, 64, at)) << "connection " << at;
    }
}

}  // namespace
}  // namespace sansock::conformance
