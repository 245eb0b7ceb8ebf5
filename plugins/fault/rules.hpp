// Which faults to inject, and when.
//
//     options:
//       wraps: simulated      # the plugin to wrap; its own settings stand in `options` below and in `simulation`
//       options: {}
//       faults:
//         - call: post_send   # see kCalls
//           after: 100        # calls that still work, 0 without the key
//           times: 1          # calls that fail then, for ever without the key
//           result: error     # error: the call fails with `status`; only of post_send, post_receive and completion:
//                             # fail: its endpoint fails with `status`;
//                             # silence: from now on nothing completes or leaves there
//           status: EIO       # by name; EIO without the key
#pragma once
#include <sansock/sdk/status.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace sansock::fault {

enum class Call {
    open,
    register_region,
    create_completion_queue,
    create_endpoint,
    make_offer,
    accept_offer,
    take_answer,
    post_send,
    post_receive,
    poll,
    arm,
    completion,  ///< A request's completion: with `error` it becomes one, and its endpoint fails.
};
inline constexpr std::array<std::string_view, 12> kCalls{"open",
                                                         "register_region",
                                                         "create_completion_queue",
                                                         "create_endpoint",
                                                         "make_offer",
                                                         "accept_offer",
                                                         "take_answer",
                                                         "post_send",
                                                         "post_receive",
                                                         "poll",
                                                         "arm",
                                                         "completion"};

enum class Effect { none, error, fail, silence };

struct Verdict {
    Effect effect = Effect::none;
    std::int32_t status = SANSOCK_OK;
};

struct Rule {
    Call call;
    std::uint64_t after;
    std::uint64_t times;
    Verdict verdict;
    std::atomic<std::uint64_t> seen{0};  ///< Queues are polled by different threads.
};

struct Settings {
    std::string wraps;
    std::string wrapped_yaml;
    std::deque<Rule> rules;
};

/// Throws sdk::Failure with EINVAL: the origin, the key, what is wrong and what is allowed.
[[nodiscard]] Settings parse_settings(const char *yaml, const char *origin);

/// Counts this call and says what becomes of it; the first rule that applies decides.
[[nodiscard]] Verdict judge(std::deque<Rule> &rules, Call call) noexcept;

}  // namespace sansock::fault
