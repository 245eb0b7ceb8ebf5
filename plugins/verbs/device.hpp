// The RDMA device of a provider: the one that one of this host's addresses belongs to. That is also the address where peers find it.
//
// The device is opened once more for the provider alone, beside what librdmacm has open of it for whoever in the process may use it.
// Connections are made with queue pairs that librdmacm does not know. What the device tells of itself beside that (ibv_get_async_event) is
// not asked for: connections and requests tell the same, and the library of one driver writes it to the application's standard output.
#pragma once
#include <sansock/sdk/host.h>
#include <sansock/sdk/provider.h>

#include <optional>
#include <string>

#include "children.hpp"
#include "objects.hpp"
#include "settings.hpp"
#include "transport.hpp"

namespace sansock::verbs {

class Device {
public:
    /// Throws sdk::Failure with ENODEV: which devices there are, and what each is; EPERM, ENOMEM.
    Device(const Settings &settings, const Transport &transport, const char *origin);
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    ~Device();

    [[nodiscard]] ibv_context &context() const noexcept { return *context_; }
    [[nodiscard]] ibv_pd &domain() const noexcept { return *domain_; }
    [[nodiscard]] const ibv_device_attr &attributes() const noexcept { return attributes_; }
    [[nodiscard]] const ibv_port_attr &port_attributes() const noexcept { return port_attributes_; }
    /// Does not block.
    [[nodiscard]] rdma_event_channel &events() const noexcept { return *events_; }

    [[nodiscard]] const plugins::Address &address() const noexcept { return address_; }
    /// Where requests for connections come in.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] const rdma_cm_id *door() const noexcept { return door_.get(); }

    /// Throws sdk::Failure.
    [[nodiscard]] ConnectionId new_id() const;
    /// A queue pair that takes receives. How much it can send inline is written to what was wanted. Throws sdk::Failure.
    [[nodiscard]] QueuePair new_queue_pair(ibv_qp_init_attr &wanted) const;
    [[nodiscard]] CompletionChannel new_completion_channel() const;

    /// It has been removed, and the kernel waits until nobody has it open. Both under the connector's lock.
    void lose() noexcept { is_lost_ = true; }
    [[nodiscard]] bool is_lost() const noexcept { return is_lost_; }

private:
    bool find(const Settings &settings, const Transport &transport, std::string &seen);
    void open(const Transport &transport, const char *origin);

    EventChannel events_;
    plugins::Address address_{};
    ConnectionId door_;
    Context context_;
    DeviceQueue first_;
    ProtectionDomain domain_;
    ibv_device_attr attributes_{};
    ibv_port_attr port_attributes_{};
    std::uint16_t port_ = 0;
    ibv_qp_attr begin_{};  ///< Of a queue pair.
    int begin_mask_ = 0;
    bool is_lost_ = false;
    std::optional<KeptFromChildren> kept_events_, kept_commands_, kept_news_;
};

}  // namespace sansock::verbs
