#include "device.hpp"

#include <endian.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

#include "common/kernel.hpp"

namespace sansock::verbs {
namespace {

using plugins::Address;
using plugins::kernel;
using sdk::Failure;

constexpr std::size_t kAddressesMax = 256;
constexpr int kBacklog = 512;
constexpr std::uint8_t kNoPort = 0;

/// Out of the application's way. The library goes on with the number that it finds.
void move_up(int &fd) {
    const int high = sdk::UniqueFd::duplicate(fd, "a descriptor of the device").release();
    kernel(SYS_close, std::exchange(fd, high));
}

void unblock(int fd) noexcept {
    const long flags = kernel(SYS_fcntl, fd, F_GETFL, 0);
    kernel(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

/// 16 digits of what may be a GUID, however it is written; else what it is.
std::string digits_of(std::string text) {
    if (text.starts_with("0x")) text.erase(0, 2);
    std::erase_if(text, [](char each) { return each == ':' || each == '-'; });
    std::ranges::transform(text, text.begin(), [](unsigned char each) { return static_cast<char>(std::tolower(each)); });
    return text;
}

std::string digits_of(__be64 guid) {
    char text[17];
    (void)std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(be64toh(guid)));
    return text;
}

bool is_named(const std::string &name, ibv_context &context, const Address &address) {
    if (name.empty() || name == ibv_get_device_name(context.device) || name == plugins::interface_of(address)) return true;
    const std::string digits = digits_of(name);
    if (digits == digits_of(ibv_get_device_guid(context.device))) return true;
    const std::optional<Address> wanted = plugins::parse_address(name);
    std::vector<ibv_gid_entry> entries(256);
    const ssize_t count = ibv_query_gid_table(&context, entries.data(), entries.size(), 0);
    for (ssize_t at = 0; at < count; ++at) {
        const ibv_gid &gid = entries[static_cast<std::size_t>(at)].gid;
        if (wanted && std::ranges::equal(*wanted, gid.raw)) return true;
        if (digits == digits_of(gid.global.interface_id)) return true;
    }
    return false;
}

std::string kind_of(const ibv_context &context) {
    switch (context.device->transport_type) {
        case IBV_TRANSPORT_IWARP: return "iWARP";
        case IBV_TRANSPORT_IB: return "RoCE or InfiniBand";
        default: return "of another kind";
    }
}

std::string why(int code) {
    if (code == ENODEV || code == ENOENT) return "this host has no RDMA device that programs can use (are ib_uverbs and rdma_ucm loaded?)";
    if (code == EACCES || code == EPERM) return "/dev/infiniband is closed to this user";
    return std::string("RDMA cannot be used: ") + std::strerror(code);
}

std::int32_t status_of(int code) noexcept {
    switch (code) {
        case EACCES:
        case EPERM: return SANSOCK_EPERM;
        case ENOMEM:
        case EMFILE:
        case ENFILE: return SANSOCK_ENOMEM;
        case ENODEV:
        case ENOENT: return SANSOCK_ENODEV;
        default: return SANSOCK_EIO;
    }
}

[[noreturn]] void refuse(const char *what) {
    const int code = errno;
    throw Failure(status_of(code), std::string(what) + ": " + std::strerror(code));
}

}  // namespace

Device::Device(const Settings &settings, const Transport &transport, const char *origin) {
    // Kernels before 5.12 do not copy pinned pages for children, and need to be told which not to share. Where it is too late for that, it
    // has been done.
    if (ibv_is_fork_initialized() == IBV_FORK_DISABLED) (void)ibv_fork_init();
    errno = ENODEV;
    events_.reset(rdma_create_event_channel());
    if (!events_) throw Failure(status_of(errno), std::string(origin) + ": " + why(errno));
    move_up(events_->fd);
    unblock(events_->fd);
    std::string seen;
    if (!find(settings, transport, seen)) {
        std::string wanted = settings.device.empty() ? std::string("no ") + transport.name() + " device" : "no device " + settings.device;
        if (settings.address) wanted += " with address " + plugins::text_of(*settings.address);
        throw Failure(SANSOCK_ENODEV, std::string(origin) + ": options: there is " + wanted + " on this host; there " +
                                          (seen.empty() ? "is none with an address" : "are" + seen));
    }
    open(transport, origin);
}

/// librdmacm has it open as well, and closes what is gone when it looks for devices.
Device::~Device() {
    if (!is_lost_) return;
    door_.reset();
    if (ibv_context **present = rdma_get_devices(nullptr)) rdma_free_devices(present);
}

bool Device::find(const Settings &settings, const Transport &transport, std::string &seen) {
    const std::vector<Address> addresses =
        settings.address ? std::vector{*settings.address} : plugins::addresses_of_host(true, kAddressesMax);
    for (const Address &address : addresses) {
        ConnectionId id = new_id();
        sockaddr_storage at;
        (void)plugins::to_kernel(address, 0, at);
        // The kernel knows which device an address belongs to; of most it belongs to none.
        if (rdma_bind_addr(id.get(), reinterpret_cast<sockaddr *>(&at)) != 0 || id->verbs == nullptr) continue;
        const bool fits = transport.is_of(*id->verbs, id->port_num);
        if (fits && is_named(settings.device, *id->verbs, address)) {
            address_ = address;
            door_ = std::move(id);
            return true;
        }
        seen += (seen.empty() ? " " : ", ") + std::string(ibv_get_device_name(id->verbs->device)) + " (" +
                (fits ? transport.name() : kind_of(*id->verbs)) + ", " + plugins::interface_of(address) + " " + plugins::text_of(address) +
                ")";
    }
    return false;
}

void Device::open(const Transport &transport, const char *origin) {
    const auto check = [&](bool fine, const char *what) {
        if (!fine) refuse((std::string(origin) + ": " + what).c_str());
    };
    context_.reset(ibv_open_device(door_->verbs->device));
    check(context_ != nullptr, "the device cannot be opened");
    move_up(context_->cmd_fd);
    move_up(context_->async_fd);
    kept_events_.emplace(events_->fd);
    kept_commands_.emplace(context_->cmd_fd);
    kept_news_.emplace(context_->async_fd);
    first_ = transport.first_queue(*context_);
    domain_.reset(ibv_alloc_pd(context_.get()));
    check(domain_ != nullptr, "a protection domain");
    check(ibv_query_device(context_.get(), &attributes_) == 0, "what the device can do");
    check(ibv_query_port(context_.get(), door_->port_num, &port_attributes_) == 0, "the device's port");
    // The connection manager knows this of an id that has an address, and no longer once it listens.
    begin_.qp_state = IBV_QPS_INIT;
    check(rdma_init_qp_attr(door_.get(), &begin_, &begin_mask_) == 0, "how to begin a queue pair");
    // Peers may write nothing here, as no memory is open to them; a write of nothing is how they learn how far we have received.
    begin_.qp_access_flags |= IBV_ACCESS_REMOTE_WRITE;
    begin_mask_ |= IBV_QP_ACCESS_FLAGS;
    check(rdma_listen(door_.get(), kBacklog) == 0, "listening for connections");
    port_ = ntohs(rdma_get_src_port(door_.get()));
}

ConnectionId Device::new_id() const {
    rdma_cm_id *id = nullptr;
    if (rdma_create_id(events_.get(), &id, nullptr, RDMA_PS_TCP) != 0) refuse("a connection's id");
    return ConnectionId(id);
}

QueuePair Device::new_queue_pair(ibv_qp_init_attr &wanted) const {
    // How much a device copies at once when it is told to send cannot be asked for, only tried.
    QueuePair pair;
    for (const std::uint32_t inline_bytes : {256, 128, 64, 0}) {
        wanted.cap.max_inline_data = inline_bytes;
        errno = EIO;  // Not every library says why.
        pair.reset(ibv_create_qp(domain_.get(), &wanted));
        if (pair || (errno != EINVAL && errno != ENOMEM && errno != ENOTSUP)) break;
    }
    if (!pair) refuse("a queue pair");
    ibv_qp_attr begin = begin_;
    if (const int error = ibv_modify_qp(pair.get(), &begin, begin_mask_); error != 0) {
        errno = error;
        refuse("to begin a queue pair");
    }
    return pair;
}

CompletionChannel Device::new_completion_channel() const {
    CompletionChannel channel(ibv_create_comp_channel(context_.get()));
    if (!channel) refuse("a completion channel");
    move_up(channel->fd);
    unblock(channel->fd);
    return channel;
}

}  // namespace sansock::verbs
