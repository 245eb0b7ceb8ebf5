#include "control/client.hpp"

#include <fmt/format.h>
#include <thrift/TOutput.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "socket/agent_message.hpp"

namespace sansock::control {
namespace {

namespace transport = apache::thrift::transport;

constexpr int kTimeoutMs = 10'000;

}  // namespace

Result<void> ask(const std::string &directory, const std::function<void(wire::ManagementClient &)> &what) {
    apache::thrift::GlobalOutput.setOutputFunction([](const char *) {});  // the error says it
    const std::string path = fmt::format("{}/{}", directory.empty() ? socket::kControlDirectory : directory, socket::kManagementSocket);
    const auto socket = std::make_shared<transport::TSocket>(path);
    socket->setConnTimeout(kTimeoutMs);
    socket->setRecvTimeout(kTimeoutMs);
    socket->setSendTimeout(kTimeoutMs);
    try {
        socket->open();
    } catch (const transport::TTransportException &) {
        return fail(ENOENT,
                    fmt::format("no sansockd answers at {}; is it running? (systemctl status sansockd, or sansockd --directory)", path));
    }
    try {
        wire::ManagementClient client(
            std::make_shared<apache::thrift::protocol::TBinaryProtocol>(std::make_shared<transport::TBufferedTransport>(socket)));
        what(client);
    } catch (const wire::Refused &refused) {
        return fail(EPERM, refused.why);
    } catch (const apache::thrift::TException &error) {
        return fail(EPROTO, fmt::format("sansockd at {}: {}", path, error.what()));
    }
    return {};
}

}  // namespace sansock::control
