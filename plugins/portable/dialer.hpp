// The answering end's way to its peer: both connections, to one address of the offer after the other, until somebody there greets with the
// answer's token.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "settings.hpp"
#include "socket.hpp"
#include "wire.hpp"

namespace sansock::portable {

class Endpoint;
class Queue;

class Dialer {
public:
    /// `offer` is whom to call, `own` the token that the peer is to know.
    Dialer(Endpoint &endpoint, Queue &queue, const Settings &settings, Card offer, const Token &own, std::uint64_t now_ns) noexcept;
    ~Dialer();
    Dialer(const Dialer &) = delete;
    Dialer &operator=(const Dialer &) = delete;

    enum class Result { waits, connected, failed };
    /// Goes as far as that is possible now.
    [[nodiscard]] Result step(std::uint64_t now_ns) noexcept;
    [[nodiscard]] std::uint64_t due_ns() const noexcept { return due_ns_; }
    /// Why it has failed.
    [[nodiscard]] std::int32_t status() const noexcept { return status_; }
    /// The connection of that way, once connected. It is watched already.
    [[nodiscard]] Socket take(unsigned way) noexcept { return std::move(calls_[way].socket); }

private:
    struct Call {
        Socket socket;
        bool has_greeted = false;
        Greeting heard{};
        std::size_t heard_bytes = 0;
    };
    enum class Progress { waits, done, broken };

    [[nodiscard]] Progress advance(Call &call, unsigned way) noexcept;
    [[nodiscard]] bool dial_next(std::uint64_t now_ns) noexcept;
    [[nodiscard]] bool dial(Call &call, unsigned way, const Address &address) noexcept;
    void hang_up() noexcept;

    Endpoint &endpoint_;
    Queue &queue_;
    const Settings &settings_;
    const Card offer_;
    const Token own_;
    std::size_t next_ = 0;  ///< Of the addresses.
    std::array<Call, kWays> calls_;
    bool both_greeted_ = false;
    std::uint64_t due_ns_ = 0;
    std::int32_t status_ = 0;
};

}  // namespace sansock::portable
