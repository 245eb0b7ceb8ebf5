// A portable provider, and what its tests do with it again and again.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <stdexcept>

#include "portable_stranger.hpp"

namespace sansock::portable {

using conformance::End;

class Portable : public ::testing::Test {
protected:
    void open(const std::string &options = "{address: 127.0.0.1}") {
        provider_.reset();
        const std::vector<std::filesystem::path> plugins{SANSOCK_PLUGINS};
        host_.emplace(plugin::Catalog::scan(plugins), [this](std::string_view, int, std::string_view text) { said_.emplace_back(text); });
        auto opened = host_->open("portable", "f19c3b4a-c465-4a86-a7b2-9646acb6b3fa", "options: " + options, "test:1");
        if (!opened) throw std::runtime_error(opened.error().text);
        provider_.emplace(std::move(*opened));
    }
    plugin::Provider &provider() { return *provider_; }

    void poll_until(const std::function<bool()> &done, std::initializer_list<End *> ends) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!done()) {
            if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not happen in twenty seconds");
            for (End *end : ends) end->poll();
        }
    }
    /// As a sleeper waits: whatever is waited for has to wake it.
    void sleep_until(const std::function<bool()> &done, End &end) {
        for (;;) {
            end.poll();
            if (done()) return;
            ASSERT_TRUE(end.queue.arm());
            end.poll();
            if (done()) return;
            pollfd waiting{.fd = end.queue.notification_fd(), .events = POLLIN, .revents = 0};
            ASSERT_EQ(::poll(&waiting, 1, 20'000), 1) << "nothing wakes the end up";
            ++wakeups_;
        }
    }
    void connect(End &offering, End &answering) {
        const auto offer = offering.endpoint->make_offer();
        ASSERT_TRUE(offer) << offer.error().text;
        finish(*offer, offering, answering);
    }
    void finish(const plugin::Offer &offer, End &offering, End &answering) {
        const auto answer = answering.endpoint->accept_offer(offer);
        ASSERT_TRUE(answer) << answer.error().text;
        ASSERT_TRUE(offering.endpoint->take_answer(*answer));
        poll_until([&] { return offering.established() && answering.established(); }, {&offering, &answering});
    }
    void expect_carries(End &a, End &b) {
        ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
        ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
        const std::size_t before = b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK);
        poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) > before; }, {&a, &b});
    }

    int wakeups_ = 0;
    std::vector<std::string> said_;
    std::optional<plugin::Host> host_;
    std::optional<plugin::Provider> provider_;
};

}  // namespace sansock::portable
