// The status page and the metrics, over HTTP on an address of this host. It only tells: nothing can be changed through it.
#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"
#include "control/agents.hpp"

namespace httplib {
class Server;
}

namespace sansock::control {

class HttpServer {
public:
    /// Listens at `where`, as "127.0.0.1:9470" or "[::1]:9470"; port 0 is any that is free. Fails with EINVAL where that is no address.
    static Result<std::unique_ptr<HttpServer>> listen(const std::string &where, Agents &agents);
    ~HttpServer();
    /// Until stop(), in whichever thread calls it. False: it could not go on.
    bool serve();
    void stop();
    /// With the port that it has got.
    [[nodiscard]] const std::string &where() const { return where_; }

private:
    HttpServer();
    std::unique_ptr<httplib::Server> server_;
    std::string where_;
};

}  // namespace sansock::control
