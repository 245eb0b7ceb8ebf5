#include "common/network.hpp"

#include <stdexcept>

namespace samples {

bool receive_or_end(Connection &connection, std::span<std::byte> bytes) {
    const std::size_t wanted = bytes.size();
    while (!bytes.empty()) {
        const std::size_t received = connection.receive(bytes);
        if (received == 0 && bytes.size() == wanted) return false;
        if (received == 0) throw std::runtime_error("the peer closed the connection in the middle of a message");
        bytes = bytes.subspan(received);
    }
    return true;
}

void receive_all(Connection &connection, std::span<std::byte> bytes) {
    if (!receive_or_end(connection, bytes)) throw std::runtime_error("the peer closed the connection");
}

}  // namespace samples
