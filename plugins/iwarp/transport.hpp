// iWARP: RDMA over TCP. The kernel's connection manager moves the queue pair, there is no second try for a message that finds no receive,
// and it is the end that connects which has to send first.
#pragma once
#include "verbs/transport.hpp"

namespace sansock::iwarp {

class Transport : public verbs::Transport {
public:
    const char *name() const noexcept override { return "iWARP"; }
    char letter() const noexcept override { return 'i'; }
    bool is_of(ibv_context &device, std::uint8_t) const noexcept override { return device.device->transport_type == IBV_TRANSPORT_IWARP; }
    verbs::DeviceQueue first_queue(ibv_context &device) const noexcept override;
    void read(plugins::YamlMapping &) override {}
    void limit(sansock_limits &limits) const noexcept override;
    std::int32_t status_of(ibv_wc_status status, bool is_send) const noexcept override;
    bool wants_parts() const noexcept override { return true; }
    void prepare(rdma_cm_id &, rdma_conn_param &) const noexcept override {}
    void raise(rdma_cm_id &, ibv_qp &) const override {}
};

}  // namespace sansock::iwarp
