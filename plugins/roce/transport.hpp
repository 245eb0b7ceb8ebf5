// RoCE. Beside what verbs/settings.hpp has, an operator may say:
//
//     options:
//       path_mtu: 4096            # 256, 512, 1024, 2048 or 4096 bytes; without it what the interfaces and the peer allow
//       retry_timeout: 250ms      # 10ms to 10s: how long the device waits for an acknowledgement before it sends again
//       retry_count: 7            # 0 to 7: how often it does that, before the connection has failed
//       receiver_retry_count: 7   # 0 to 7: how often it tries again when the peer has posted no receive; 7 is without end
#pragma once
#include "verbs/transport.hpp"

namespace sansock::roce {

struct Options {
    std::uint64_t path_mtu = 0;  ///< Bytes; 0: what the path has.
    std::uint64_t retry_timeout_ns = 250'000'000;
    std::uint64_t retry_count = 7;
    std::uint64_t receiver_retry_count = 7;
};

/// The verbs' way to write a time: 4.096 us times two to the power of the result, which is 1 to 31. The next one that is not shorter.
[[nodiscard]] std::uint8_t exponent_of(std::uint64_t timeout_ns) noexcept;

class Transport : public verbs::Transport {
public:
    const char *name() const noexcept override { return "RoCE"; }
    char letter() const noexcept override { return 'r'; }
    bool is_of(ibv_context &device, std::uint8_t port) const noexcept override;
    void read(plugins::YamlMapping &options) override;
    void limit(sansock_limits &limits) const noexcept override;
    std::int32_t status_of(ibv_wc_status status, bool is_send) const noexcept override;
    void prepare(rdma_cm_id &id, rdma_conn_param &parameters) const noexcept override;
    void raise(rdma_cm_id &id, ibv_qp &queue_pair) const override;

    [[nodiscard]] const Options &options() const noexcept { return options_; }

private:
    Options options_;
};

}  // namespace sansock::roce
