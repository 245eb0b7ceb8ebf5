#include "block_store/session.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace block_store {
namespace {

constexpr std::size_t kReceiveRoom = 256 * 1024;

}  // namespace

Session::Session(const std::string &host, std::uint16_t port) : connection_(samples::connect_to(host, port)) {}

void Session::submit(const Request &request, std::span<const std::byte> payload) {
    append(out_, request);
    out_.insert(out_.end(), payload.begin(), payload.end());
}

void Session::progress(const OnReply &on_reply) {
    const auto ready = connection_->wait(out_begin_ < out_.size());
    if (ready.to_send) send_some();
    if (ready.to_receive) receive_some();
    deliver(on_reply);
}

void Session::send_some() {
    const auto size = connection_->try_send(std::span(out_).subspan(out_begin_));
    if (!size) return;
    out_begin_ += *size;
    // What is left moves to the front only when it is the smaller part, so that each byte moves less than once.
    if (out_begin_ * 2 > out_.size()) {
        out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(out_begin_));
        out_begin_ = 0;
    }
}

void Session::receive_some() {
    in_.resize(std::max(in_.size(), in_end_ + kReceiveRoom));
    const auto size = connection_->try_receive(std::span(in_).subspan(in_end_));
    if (!size) return;
    if (*size == 0) throw std::runtime_error("the server closed the connection");
    in_end_ += *size;
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
