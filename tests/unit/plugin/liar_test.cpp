// What a plugin that breaks the contract can do to the framework: nothing but cause an error.
#include <gmock/gmock.h>

#include <array>

#include "plugin/host.hpp"
#include "scratch.hpp"

namespace sansock::plugin {
namespace {

using ::testing::HasSubstr;

class Liar : public ::testing::Test {
protected:
    Result<Provider> open(const std::string &lie) { return host_.open("liar", kGuid, lie, "test:1"); }

    /// An endpoint on a queue of a provider that lies like this.
    void connect(const std::string &lie) {
        endpoint.reset();
        queue.reset();
        provider = open(lie).value();
        queue = provider->create_completion_queue(16).value();
        // The first one is closed again, so that there is a past.
        (void)provider->create_endpoint(*queue, {.send_depth = 4, .receive_depth = 4});
        endpoint = provider->create_endpoint(*queue, {.send_depth = 4, .receive_depth = 4}).value();
    }

    /// What polling says after one send under this lie.
    std::string told(const std::string &lie) {
        connect(lie);
        EXPECT_EQ(endpoint->post_send({}, 7), SANSOCK_OK);
        const auto count = queue->poll(completions);
        if (count) return "believed " + std::to_string(*count);
        EXPECT_EQ(count.error().code, lie == "poll fails" ? EIO : EPROTO);
        return count.error().text;
    }

    std::optional<Provider> provider;
    std::optional<CompletionQueue> queue;
    std::optional<Endpoint> endpoint;
    std::array<sansock_completion, 4> completions{};

private:
    Scratch scratch_;
    Host host_{[this] {
        std::filesystem::copy_file(SANSOCK_BROKEN_PLUGINS "/liar.so", scratch_.path() / "liar.so");
        scratch_.manifest("liar", kGuid, "liar.so");
        return Catalog::scan(std::array{scratch_.path()});
    }()};
};

TEST_F(Liar, IsBelievedWhenItTellsTheTruth) {
    EXPECT_EQ(told("nothing"), "believed 1");
    EXPECT_EQ(completions[0].token, 7U);
}

TEST_F(Liar, IsCaughtWithImpossibleLimits) {
    for (const char *limit : {"reach", "message_bytes_max", "inline_bytes_max", "slice_count_max", "send_depth_max", "receive_depth_max",
                              "completion_depth_max", "unreceived", "answerer_sends_first", "fork_safe"}) {
        const auto opened = open(limit);
        ASSERT_FALSE(opened) << limit;
        EXPECT_EQ(opened.error().text, std::string("plugin 'liar' reports an impossible limit: ") + limit);
    }
}

TEST_F(Liar, IsCaughtWithFalseCompletions) {
    for (const char *lie : {"unknown token", "token out of range", "wrong kind", "twice"}) {
        EXPECT_THAT(told(lie), HasSubstr("completed a request that is not in flight")) << lie;
    }
    EXPECT_THAT(told("unknown endpoint"), HasSubstr("an endpoint that does not exist"));
    EXPECT_THAT(told("endpoint of the past"), HasSubstr("an endpoint that does not exist"));
    EXPECT_THAT(told("no kind"), HasSubstr("a kind that does not exist"));
    EXPECT_THAT(told("positive status"), HasSubstr("a status that does not exist"));
    EXPECT_THAT(told("established twice"), HasSubstr("established twice"));
    EXPECT_THAT(told("after the end"), HasSubstr("failed before"));
    EXPECT_THAT(told("more than asked"), HasSubstr("more than it was given room for"));
    EXPECT_THAT(told("poll fails"), HasSubstr("cannot poll: EIO"));
}

TEST_F(Liar, IsCaughtReceivingMoreThanItHadRoomFor) {
    connect("nothing");
    ASSERT_EQ(endpoint->post_receive({}, 1), SANSOCK_OK);
    const auto count = queue->poll(completions);
    ASSERT_FALSE(count);
    EXPECT_THAT(count.error().text, HasSubstr("more bytes than it was given room for"));
}

TEST_F(Liar, IsCaughtWithNonsenseFromCalls) {
    connect("post returns a count");
    EXPECT_EQ(endpoint->post_send({}, 7), SANSOCK_EPROTO);
    for (int more = 0; more < 20; ++more) EXPECT_EQ(endpoint->post_send({}, 7), SANSOCK_EPROTO) << "no slot is lost";
    EXPECT_EQ(endpoint->state(), SANSOCK_ENDPOINT_FAILED) << "99 is no state";
    connect("arm returns a count");
    EXPECT_EQ(queue->arm().error().code, EPROTO);
}

TEST_F(Liar, IsCaughtWithoutObjects) {
    EXPECT_THAT(open("no queue")->create_completion_queue(4).error().text, HasSubstr("success and no usable queue"));
    EXPECT_THAT(open("no region")->register_region(this, 4096, -1, 0).error().text, HasSubstr("success and no region"));
    provider = open("no endpoint").value();
    queue = provider->create_completion_queue(16).value();
    EXPECT_THAT(provider->create_endpoint(*queue, {.send_depth = 1, .receive_depth = 1}).error().text,
                HasSubstr("success and no usable endpoint"));
}

TEST_F(Liar, IsCaughtWithFalseOffers) {
    for (const char *lie : {"offer of too many bytes", "offer of too many descriptors"}) {
        connect(lie);
        EXPECT_THAT(endpoint->make_offer().error().text, HasSubstr("more bytes or descriptors than fit")) << lie;
    }
    connect("offer of a closed descriptor");
    EXPECT_THAT(endpoint->make_offer().error().text, HasSubstr("a descriptor that is not open"));
}

TEST_F(Liar, ExceptionsStayOnItsSide) { EXPECT_THAT(open("throws").error().text, HasSubstr("an unknown exception was thrown")); }

}  // namespace
}  // namespace sansock::plugin
