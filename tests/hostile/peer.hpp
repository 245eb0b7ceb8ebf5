// The other end of a victim's connection: plain TCP, and the helpers' protocol spoken by hand, honestly or not.
#pragma once
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "socket/channel.hpp"
#include "victim.hpp"

namespace sansock::hostile {

class Peer {
public:
    /// Connects to a victim that accepts, or listens for one that connects (start it with `port()`, then call accept_tcp()).
    static Peer connected_to(Victim &victim);
    static Peer listening();
    Peer() = default;
    Peer(Peer &&) = default;

    [[nodiscard]] int port() const { return port_; }
    void accept_tcp();
    [[nodiscard]] int tcp() const { return tcp_.get(); }
    void close_tcp() { tcp_.reset(); }
    /// No more will come from us; a victim that waits reads the end.
    void finish() const { shutdown(tcp_.get(), SHUT_WR); }
    /// Sends `count` rounds of 64 bytes to an echoing victim over TCP and compares what comes back.
    bool exchange(int count = 1);
    /// Answers a victim that pings, over TCP.
    bool echo(int count = 1);
    /// Sends on TCP what this end calls `out`; keeps the count.
    bool send_tcp(const std::string &bytes);
    std::string receive_tcp(size_t size);

    // --- the meeting ---
    [[nodiscard]] socket::MeetingName name() const;
    /// Binds the meeting's name before the victim does, so that it comes to us.
    bool squat();
    bool accept_channel(int patience_ms = kPatienceMs);
    /// Goes to the victim that has bound the name.
    bool connect_channel();
    [[nodiscard]] int channel() const { return channel_.get(); }
    void close_channel() { channel_.reset(); }

    [[nodiscard]] socket::Message hello() const;
    [[nodiscard]] socket::Message message(socket::MessageType type) const;
    bool send(const socket::Message &message, const std::vector<int> &fds = {}) const { return send_raw(&message, sizeof message, fds); }
    bool send_raw(const void *data, size_t size, const std::vector<int> &fds = {}) const;
    /// The next message of this type; others on the way are taken note of.
    bool receive(socket::MessageType type, socket::Received &received);
    /// The victim has closed the channel.
    bool sees_channel_closed();
    /// Everything up to the victim's arena and ours, as an honest peer would.
    bool greet();
    /// A proposal or an answer for the connection, as an honest peer would make it.
    socket::Message proposal();
    socket::Message acceptance(const socket::Message &proposal);
    /// greet(), then both ends' slots are known.
    bool attach();

    // --- our words, and the victim's ---
    [[nodiscard]] memory::Slot &mine() const { return ours_.slot(slot_); }
    [[nodiscard]] const memory::Slot &theirs() const { return their_arena_.slot(their_slot_); }
    [[nodiscard]] memory::Arena &arena() { return ours_; }
    void ring() const;
    /// After a change of cold words.
    void attention() const;
    /// Both directions of an echoing victim move to the provider, and a round goes over it.
    bool move();
    /// Sends over the provider from the front of the inline buffer.
    void send_provider(const std::string &bytes);
    /// Waits until the victim has published that many bytes more, and takes them.
    std::string receive_provider(size_t size);
    uint64_t out = 0, in = 0;

private:
    UniqueFd tcp_, listener_, squat_, channel_;
    UniqueFd doorbell_, their_doorbell_;
    int port_ = 0;
    bool connector_ = false;
    memory::Arena ours_;
    memory::PeerArena their_arena_;
    uint32_t slot_ = 0, their_slot_ = 0;
};

/// Waits for something that the victim does.
template <class Condition>
bool eventually(Condition condition);

}  // namespace sansock::hostile

#include <chrono>
#include <thread>

template <class Condition>
bool sansock::hostile::eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}
