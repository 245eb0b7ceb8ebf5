// Where RoCE and iWARP differ. A provider has one object of it.
#pragma once
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <sansock/sdk/provider.h>

#include <memory>

#include "objects.hpp"

namespace sansock::plugins {
class YamlMapping;
}

namespace sansock::verbs {

class Transport {
public:
    virtual ~Transport() = default;

    /// As people write it.
    [[nodiscard]] virtual const char *name() const noexcept = 0;
    /// What tells its offers from those of others.
    [[nodiscard]] virtual char letter() const noexcept = 0;
    [[nodiscard]] virtual bool is_of(ibv_context &device, std::uint8_t port) const noexcept = 0;

    /// What a device has to be asked for before anything else, and is to be kept until it is closed; nothing for most.
    [[nodiscard]] virtual DeviceQueue first_queue(ibv_context &) const noexcept { return nullptr; }

    /// Options that no other transport has.
    virtual void read(plugins::YamlMapping &options) = 0;
    virtual void limit(sansock_limits &limits) const noexcept = 0;

    /// What a request has failed with, as SANSOCK_*.
    [[nodiscard]] virtual std::int32_t status_of(ibv_wc_status status, bool is_send) const noexcept;
    /// A receive must have a part, however short.
    [[nodiscard]] virtual bool wants_parts() const noexcept { return false; }

    /// Before a connection is asked for, or a request for one accepted.
    virtual void prepare(rdma_cm_id &id, rdma_conn_param &parameters) const noexcept = 0;
    /// Both ends are known, so that the queue pair can receive and send. Throws sdk::Failure.
    virtual void raise(rdma_cm_id &id, ibv_qp &queue_pair) const = 0;
};

}  // namespace sansock::verbs
