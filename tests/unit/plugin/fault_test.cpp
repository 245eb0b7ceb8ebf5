// The fault plugin injects what its rules say, at every entry point, and the framework gets an error each time.
#include <gmock/gmock.h>
#include <sansock/sdk/ext/fault_injection.h>
#include <sansock/sdk/ext/shared_memory.h>

#include "provider_conformance.hpp"
#include "scratch.hpp"

namespace sansock::plugin {
namespace {

using conformance::End;
using ::testing::HasSubstr;

class Fault : public ::testing::Test {
protected:
    Result<Provider> open(const std::string &faults) {
        return host_.open("fault", kGuid, "{options: {wraps: simulated, faults: [" + faults + "]}}", "test:1");
    }

    void poll_until(const std::function<bool()> &done, std::initializer_list<End *> ends) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!done()) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline);
            for (End *end : ends) end->poll();
        }
    }

    /// Connects two ends of a provider with these faults.
    void connect(const std::string &faults) {
        b.reset();
        a.reset();
        provider = open(faults).value();
        a.emplace(*provider);
        b.emplace(*provider);
        ASSERT_TRUE(a->endpoint->take_answer(b->endpoint->accept_offer(a->endpoint->make_offer().value()).value()));
        poll_until([&] { return a->established() && b->established(); }, {&*a, &*b});
    }

    std::optional<Provider> provider;
    std::optional<End> a, b;

private:
    Host host_{Catalog::scan(std::array{std::filesystem::path(SANSOCK_PLUGINS)})};
};

TEST_F(Fault, HandsTheWholeBlockOn) {
    Host host(Catalog::scan(std::array{std::filesystem::path(SANSOCK_PLUGINS)}));
    const auto opened =
        host.open("fault", kGuid, "{options: {wraps: simulated}, rdma_threshold: 65536, simulation: {latency: 0}}", "test:1");
    EXPECT_TRUE(opened) << opened.error().text;
}

TEST_F(Fault, HidesSharedMemory) {
    connect("");
    EXPECT_EQ(provider->extension<sansock_shared_memory_ops>(SANSOCK_EXT_SHARED_MEMORY), nullptr);
    EXPECT_FALSE(a->endpoint->shares_memory());
}

TEST_F(Fault, FailsEveryCallOfTheSetUp) {
    EXPECT_THAT(open("{call: open, result: error, status: ENODEV}").error().text, HasSubstr("fault injected at open"));
    char *const page = static_cast<char *>(std::aligned_alloc(4096, 4096));
    EXPECT_EQ(open("{call: register_region, result: error, status: ENOMEM}")->register_region(page, 4096, -1, 0).error().code, ENOMEM);
    std::free(page);
    EXPECT_EQ(open("{call: create_completion_queue, result: error}")->create_completion_queue(4).error().code, EIO);
    auto no_endpoint = open("{call: create_endpoint, result: error}").value();
    auto queue = no_endpoint.create_completion_queue(4).value();
    EXPECT_EQ(no_endpoint.create_endpoint(queue, {.send_depth = 1, .receive_depth = 1}).error().code, EIO);

    auto no_offer = open("{call: make_offer, result: error, times: 1}").value();
    End c(no_offer);
    EXPECT_THAT(c.endpoint->make_offer().error().text, HasSubstr("fault injected at make_offer"));
    EXPECT_EQ(c.endpoint->state(), SANSOCK_ENDPOINT_CREATED);
    EXPECT_TRUE(c.endpoint->make_offer()) << "one time only";

    auto no_accept = open("{call: accept_offer, result: error, status: EPERM}").value();
    End d(no_accept), e(no_accept);
    EXPECT_EQ(e.endpoint->accept_offer(d.endpoint->make_offer().value()).error().code, EPERM);
    EXPECT_EQ(e.endpoint->state(), SANSOCK_ENDPOINT_FAILED);

    auto no_answer = open("{call: take_answer, result: error, status: ETIMEDOUT}").value();
    End f(no_answer), g(no_answer);
    const Offer answer = g.endpoint->accept_offer(f.endpoint->make_offer().value()).value();
    EXPECT_EQ(f.endpoint->take_answer(answer).error().code, ETIMEDOUT);
    EXPECT_EQ(f.endpoint->state(), SANSOCK_ENDPOINT_FAILED);
}

TEST_F(Fault, FailsEveryCallOfTheDataPathAfterSoMany) {
    connect("{call: post_send, after: 2, times: 1, result: error, status: EAGAIN}");
    EXPECT_EQ(a->send(0, 64), SANSOCK_OK);
    EXPECT_EQ(a->send(0, 64), SANSOCK_OK);
    EXPECT_EQ(a->send(0, 64), SANSOCK_EAGAIN);
    EXPECT_EQ(a->send(0, 64), SANSOCK_OK);
    connect("{call: post_receive, result: error, status: EINVAL}");
    EXPECT_EQ(a->receive(0, 64), SANSOCK_EINVAL);
    connect("{call: arm, result: error}");
    EXPECT_EQ(a->queue.arm().error().code, EIO);
    auto deaf = open("{call: poll, result: error}").value();
    End end(deaf);
    std::array<sansock_completion, 1> room{};
    EXPECT_EQ(end.queue.poll(room).error().code, EIO);
}

TEST_F(Fault, TurnsACompletionIntoAnErrorAndFailsTheEndpoint) {
    connect("{call: completion, after: 1, times: 1, result: error, status: EIO}");
    ASSERT_EQ(a->receive(0, 64, 5), SANSOCK_OK);
    ASSERT_EQ(a->send(0, 64, 1), SANSOCK_OK);
    ASSERT_EQ(a->send(0, 64, 2), SANSOCK_OK);
    ASSERT_EQ(a->send(0, 64, 3), SANSOCK_OK);
    poll_until([&] { return a->failure() != SANSOCK_OK; }, {&*a});
    EXPECT_EQ(a->failure(), SANSOCK_EIO);
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_SEND, SANSOCK_OK), 1U);
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_SEND, SANSOCK_EIO), 1U);
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_SEND, SANSOCK_ECANCELED), 1U);
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 1U);
    poll_until([&] { return b->failure() == SANSOCK_ECONNRESET || b->receive(0, 64) != SANSOCK_OK; }, {&*b});
}

TEST_F(Fault, FailsTheEndpointAtASend) {
    connect("{call: post_send, after: 1, result: fail, status: ETIMEDOUT}");
    ASSERT_EQ(b->receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(a->send(0, 64), SANSOCK_OK);
    EXPECT_EQ(a->send(0, 64), SANSOCK_ENOTCONN);
    poll_until([&] { return a->failure() == SANSOCK_ETIMEDOUT && b->failure() == SANSOCK_ECONNRESET; }, {&*a, &*b});
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_SEND), 1U);
    EXPECT_EQ(b->count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 1U) << "what was sent before still arrives";
}

TEST_F(Fault, DropsToSilence) {
    connect("{call: post_send, after: 1, result: silence}");
    for (std::uint64_t token = 0; token < 4; ++token) ASSERT_EQ(b->receive(0, 64, token), SANSOCK_OK);
    ASSERT_EQ(a->send(0, 64), SANSOCK_OK);
    poll_until([&] { return b->count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&*a, &*b});
    for (int sends = 0; sends < 8 && a->send(0, 64) == SANSOCK_OK; ++sends) continue;
    EXPECT_EQ(a->send(0, 64), SANSOCK_EAGAIN) << "the depth is reached, since nothing completes";
    for (int polls = 0; polls < 1000; ++polls) {
        a->poll();
        b->poll();
    }
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_SEND) + a->count(SANSOCK_COMPLETION_STATE), 2U);
    EXPECT_EQ(b->count(SANSOCK_COMPLETION_RECEIVE), 1U);
    EXPECT_EQ(a->failure() + b->failure(), SANSOCK_OK);
}

TEST_F(Fault, BreaksAnEndpointOnRequest) {
    connect("");
    const auto *inject = provider->extension<sansock_fault_injection_ops>(SANSOCK_EXT_FAULT_INJECTION);
    ASSERT_NE(inject, nullptr);
    ASSERT_EQ(a->receive(0, 64), SANSOCK_OK);
    ASSERT_TRUE(a->queue.arm());
    inject->fail(a->endpoint->get(), SANSOCK_ENODEV);
    poll_until([&] { return a->failure() == SANSOCK_ENODEV && b->failure() == SANSOCK_ECONNRESET; }, {&*a, &*b});
    EXPECT_EQ(a->count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 1U);
}

TEST_F(Fault, RulesThatMakeNoSenseAreRefused) {
    EXPECT_THAT(open("{call: post_snd, result: error}").error().text,
                HasSubstr("test:1: options.faults.call is 'post_snd'; write one of open, register_region"));
    EXPECT_THAT(open("{call: arm, result: silence}").error().text, HasSubstr("result is 'silence'; write error"));
    EXPECT_THAT(open("{call: arm}").error().text, HasSubstr("options.faults.result is missing"));
    EXPECT_THAT(open("{result: error}").error().text, HasSubstr("options.faults.call is missing"));
    EXPECT_THAT(open("{call: arm, result: error, status: EWHAT}").error().text, HasSubstr("'EWHAT'; write one of EPERM"));
    EXPECT_THAT(open("{call: arm, result: error, after: -1}").error().text, HasSubstr("after is '-1'; write a number"));
    EXPECT_THAT(open("{call: arm, result: error, when: 1}").error().text, HasSubstr("when is not known; known are after"));
}

}  // namespace
}  // namespace sansock::plugin
