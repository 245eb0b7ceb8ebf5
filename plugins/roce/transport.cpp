#include "transport.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/units.hpp"
#include "common/yaml_block.hpp"

namespace sansock::roce {
namespace {

using plugins::parse_count;
using plugins::parse_duration;
using plugins::parse_size;
using sdk::Failure;

constexpr std::uint64_t kUnitNs = 4096;

/// Throws sdk::Failure. `refine` changes what the connection manager has found out.
template <class Refine>
void advance(rdma_cm_id &id, ibv_qp &queue_pair, ibv_qp_state state, Refine &&refine) {
    ibv_qp_attr attributes{};
    attributes.qp_state = state;
    int mask = 0;
    if (rdma_init_qp_attr(&id, &attributes, &mask) != 0) throw Failure::from_errno("the path to the peer");
    refine(attributes);
    if (const int error = ibv_modify_qp(&queue_pair, &attributes, mask); error != 0) {
        throw Failure(SANSOCK_EIO, std::string("the queue pair does not take the path to the peer: ") + std::strerror(error));
    }
}

void require_version_two(rdma_cm_id &id, const ibv_qp &queue_pair, const ibv_qp_attr &attributes) {
    ibv_gid_entry entry;
    if (ibv_query_gid_ex(queue_pair.context, id.port_num, attributes.ah_attr.grh.sgid_index, &entry, 0) != 0) return;
    if (entry.gid_type == IBV_GID_TYPE_ROCE_V2) return;
    throw Failure(SANSOCK_ENOTSUP,
                  "the path is one of RoCE version 1, which routers do not know; set default_roce_mode of rdma_cm to \"RoCE v2\"");
}

ibv_mtu mtu_of(std::uint64_t bytes) noexcept {
    return static_cast<ibv_mtu>(std::countr_zero(bytes) - std::countr_zero(256U) + static_cast<int>(IBV_MTU_256));
}

}  // namespace

std::uint8_t exponent_of(std::uint64_t timeout_ns) noexcept {
    const std::uint64_t units = std::max<std::uint64_t>((timeout_ns + kUnitNs - 1) / kUnitNs, 2);
    return static_cast<std::uint8_t>(std::min<int>(std::bit_width(units - 1), 31));
}

bool Transport::is_of(ibv_context &device, std::uint8_t port) const noexcept {
    ibv_port_attr attributes;
    return device.device->transport_type == IBV_TRANSPORT_IB && ibv_query_port(&device, port, &attributes) == 0 &&
           attributes.link_layer == IBV_LINK_LAYER_ETHERNET;
}

void Transport::read(plugins::YamlMapping &options) {
    options.with_text("path_mtu", [&](const YAML::Node &value, const std::string &text) {
        const auto bytes = parse_size(text);
        if (!bytes || *bytes < 256 || *bytes > 4096 || !std::has_single_bit(*bytes)) {
            return options.wrong("path_mtu", value, "256, 512, 1024, 2048 or 4096");
        }
        options_.path_mtu = *bytes;
    });
    options.quantity("retry_timeout", options_.retry_timeout_ns, 10'000'000, 10'000'000'000, parse_duration,
                     "a duration of 10ms to 10s, such as 250ms");
    options.quantity("retry_count", options_.retry_count, 0, 7, parse_count, "a number of 0 to 7");
    options.quantity("receiver_retry_count", options_.receiver_retry_count, 0, 7, parse_count, "a number of 0 to 7; 7 is without end");
}

void Transport::limit(sansock_limits &limits) const noexcept {
    limits.unreceived = options_.receiver_retry_count == 7 ? SANSOCK_UNRECEIVED_WAITS : SANSOCK_UNRECEIVED_FAILS;
}

/// Of a receive that was well formed, the software driver says no more than this when a message is too long for it.
std::int32_t Transport::status_of(ibv_wc_status status, bool is_send) const noexcept {
    return status == IBV_WC_LOC_QP_OP_ERR && !is_send ? SANSOCK_EMSGSIZE : verbs::Transport::status_of(status, is_send);
}

void Transport::prepare(rdma_cm_id &id, rdma_conn_param &parameters) const noexcept {
    std::uint8_t timeout = exponent_of(options_.retry_timeout_ns);
    (void)rdma_set_option(&id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
    parameters.retry_count = static_cast<std::uint8_t>(options_.retry_count);
    parameters.rnr_retry_count = static_cast<std::uint8_t>(options_.receiver_retry_count);
}

void Transport::raise(rdma_cm_id &id, ibv_qp &queue_pair) const {
    advance(id, queue_pair, IBV_QPS_RTR, [&](ibv_qp_attr &attributes) {
        require_version_two(id, queue_pair, attributes);
        if (options_.path_mtu != 0) attributes.path_mtu = std::min(attributes.path_mtu, mtu_of(options_.path_mtu));
    });
    advance(id, queue_pair, IBV_QPS_RTS, [&](ibv_qp_attr &attributes) {
        // Each end's own, whatever the other one has asked for.
        attributes.timeout = exponent_of(options_.retry_timeout_ns);
        attributes.retry_cnt = static_cast<std::uint8_t>(options_.retry_count);
        attributes.rnr_retry = static_cast<std::uint8_t>(options_.receiver_retry_count);
    });
}

}  // namespace sansock::roce
