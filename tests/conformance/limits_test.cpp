// What the provider says about itself, and that it means it.
#include <cstring>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

TEST_P(ProviderConformance, LimitsAreWrittenNoFurtherThanTheReaderKnowsThem) {
    // A host that was built against the first contract knows the record up to `reach` only.
    sansock_limits limits;
    std::memset(static_cast<void *>(&limits), 0x5a, sizeof limits);
    limits.size = offsetof(sansock_limits, message_bytes_max);
    provider().get()->ops->get_limits(provider().get(), &limits);
    EXPECT_EQ(limits.reach, provider().limits().reach);
    EXPECT_EQ(limits.message_bytes_max, 0x5a5a5a5a5a5a5a5aU);
    EXPECT_EQ(limits.fork_safe, 0x5a5a5a5aU);
}

TEST_P(ProviderConformance, UnknownExtensionsAreAbsent) {
    EXPECT_EQ(provider().extension<void>("com.example.nobody-has-this/1"), nullptr);
    EXPECT_EQ(provider().extension<void>(""), nullptr);
}

TEST_P(ProviderConformance, UnknownConfigurationIsRefused) {
    std::optional<plugin::Host> host;
    for (const char *yaml : {"{no_provider_knows_this_key: 1}", "[a, list]", "{unfinished: ["}) {
        Target target = GetParam();
        target.yaml = yaml;
        const auto opened = open_target(target, host);
        ASSERT_FALSE(opened) << yaml;
        EXPECT_EQ(opened.error().code, EINVAL);
        EXPECT_NE(opened.error().text.find("conformance:1"), std::string::npos)
            << "the text should say where the block begins: " << opened.error().text;
    }
}

TEST_P(ProviderConformance, DepthsOutsideTheLimitsAreRefused) {
    const auto &limits = provider().limits();
    EXPECT_EQ(provider().create_completion_queue(0).error().code, EINVAL);
    EXPECT_EQ(provider().create_completion_queue(limits.completion_depth_max + 1).error().code, EINVAL);
    auto queue = provider().create_completion_queue(limits.completion_depth_max);
    ASSERT_TRUE(queue) << queue.error().text;
    for (const auto &[sends, receives] :
         {std::pair{0U, 1U}, std::pair{1U, 0U}, std::pair{limits.send_depth_max + 1, 1U}, std::pair{1U, limits.receive_depth_max + 1}}) {
        const auto made = provider().create_endpoint(*queue, {.send_depth = sends, .receive_depth = receives});
        ASSERT_FALSE(made) << sends << " sends, " << receives << " receives";
        EXPECT_EQ(made.error().code, EINVAL);
    }
}

TEST_P(ProviderConformance, QueuesHoldWhatTheirDepthAllows) {
    auto queue = provider().create_completion_queue(7);
    ASSERT_TRUE(queue) << queue.error().text;
    const plugin::EndpointOptions options{.send_depth = 2, .receive_depth = 2};
    std::optional<plugin::Endpoint> first;
    {
        auto made = provider().create_endpoint(*queue, options);
        ASSERT_TRUE(made) << made.error().text;
        first = std::move(*made);
    }
    const auto second = provider().create_endpoint(*queue, options);
    ASSERT_FALSE(second) << "three places are left, four are needed";
    EXPECT_EQ(second.error().code, ENOSPC);
    first.reset();
    EXPECT_TRUE(provider().create_endpoint(*queue, options)) << "a closed endpoint gives its places back";
}

TEST_P(ProviderConformance, EmptyMemoryIsNoRegion) {
    const auto region = provider().register_region(nullptr, 0, -1, 0);
    ASSERT_FALSE(region);
    EXPECT_EQ(region.error().code, EINVAL);
}

TEST_P(ProviderConformance, NotificationDescriptorIsAlwaysTheSame) {
    End end(provider());
    const int fd = end.queue.notification_fd();
    EXPECT_GE(fd, 0);
    EXPECT_EQ(end.queue.notification_fd(), fd);
}

}  // namespace
}  // namespace sansock::conformance
