#include "block_store/session.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace block_store {
namespace {

constexpr std::size_t kReceiveRoom = 256 * 1024;

bool would_block() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

Session::Session(const std::string &host, std::uint16_t port) : socket_(samples::connect_to(host, port)) {
    const int flags = ::fcntl(socket_.fd(), F_GETFL);
    if (flags < 0 || ::fcntl(socket_.fd(), F_SETFL, flags | O_NONBLOCK) != 0) samples::throw_errno("O_NONBLOCK");
}

void Session::submit(const Request &request, std::span<const std::byte> payload) {
    append(out_, request);
    out_.insert(out_.end(), payload.begin(), payload.end());
}

void Session::progress(const OnReply &on_reply) {
    pollfd wait{socket_.fd(), POLLIN, 0};
    if (out_begin_ < out_.size()) wait.events |= POLLOUT;
    if (::poll(&wait, 1, -1) < 0 && errno != EINTR) samples::throw_errno("poll");
    if ((wait.revents & POLLOUT) != 0) send_some();
    if ((wait.revents & ~POLLOUT) != 0) receive_some();
    deliver(on_reply);
}

void Session::send_some() {
    const ssize_t size = ::send(socket_.fd(), out_.data() + out_begin_, out_.size() - out_begin_, MSG_NOSIGNAL);
    if (size < 0 && would_block()) return;
    if (size < 0) samples::throw_errno("send");
    out_begin_ += static_cast<std::size_t>(size);
    // What is left moves to the front only when it is the smaller part, so that each byte moves less than once.
    if (out_begin_ * 2 > out_.size()) {
        out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(out_begin_));
        out_begin_ = 0;
    }
}

void Session::receive_some() {
    in_.resize(std::max(in_.size(), in_end_ + kReceiveRoom));
    const ssize_t size = ::recv(socket_.fd(), in_.data() + in_end_, in_.size() - in_end_, 0);
    if (size < 0 && would_block()) return;
    if (size < 0) samples::throw_errno("receive");
    if (size == 0) throw std::runtime_error("the server closed the connection");
    in_end_ += static_cast<std::size_t>(size);
}

void Session::deliver(const OnReply &on_reply) {
    std::span<const std::byte> received = std::span(in_).first(in_end_);
    while (received.size() >= Reply::kWireSize) {
        const Reply reply = parse_reply(received.first(Reply::kWireSize));
        if (received.size() - Reply::kWireSize < reply.length) break;
        on_reply(reply, received.subspan(Reply::kWireSize, reply.length));
        received = received.subspan(Reply::kWireSize + reply.length);
    }
    if (received.size() < in_end_ && !received.empty()) std::memmove(in_.data(), received.data(), received.size());
    in_end_ = received.size();
}

}  // namespace block_store
