#include "control/http.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "control/connections.hpp"
#include "control/exposition.hpp"
#include "control/metrics.hpp"
#include "control/page.hpp"
#include "control/status_json.hpp"
#include "control/where.hpp"

namespace sansock::control {
namespace {

constexpr int kTimeoutS = 2;  ///< In which a caller must have asked, and taken some of the answer.
constexpr size_t kThreads = 8, kWaitingMax = 64;

/// Callers beyond those that it has threads for wait, about so many of them with a descriptor of ours and the rest in the kernel's queue.
class BoundedQueue final : public httplib::TaskQueue {
public:
    BoundedQueue() {
        for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
    }
    void enqueue(std::function<void()> task) override {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(kTimeoutS), [this] { return tasks_.size() < kWaitingMax; });
        tasks_.push_back(std::move(task));
        changed_.notify_all();
    }
    void shutdown() override {
        {
            const std::scoped_lock lock(mutex_);
            stopped_ = true;
            changed_.notify_all();
        }
        threads_.clear();  // joins them
    }

private:
    void work() {
        for (;;) {
            std::function<void()> task;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
                if (tasks_.empty()) return;
                task = std::move(tasks_.front());
                tasks_.pop_front();
                changed_.notify_all();
            }
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool stopped_ = false;
    std::vector<std::jthread> threads_;
};

/// A page of somebody else's, whose name has come to stand for this address, gets no answer: browsers say which name they have asked for.
bool asks_for_an_address(const httplib::Request &request) {
    std::string host = request.get_header_value("Host");
    if (const size_t colon = host.rfind(':'); colon != std::string::npos && host.find(']', colon) == std::string::npos) host.resize(colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    in6_addr address;
    return host == "localhost" || inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

void answer(httplib::Server &server, Agents &agents) {
    using httplib::Request;
    using httplib::Response;
    server.set_default_headers({{"Cache-Control", "no-store"},
                                {"Content-Security-Policy", "default-src 'self'"},
                                {"X-Content-Type-Options", "nosniff"},
                                {"X-Frame-Options", "DENY"}});
    server.set_pre_routing_handler([](const Request &request, Response &response) {
        if (asks_for_an_address(request)) return httplib::Server::HandlerResponse::Unhandled;
        response.status = 403;
        response.set_content("Ask for it by its address, or as localhost.\n", "text/plain");
        return httplib::Server::HandlerResponse::Handled;
    });
    const auto show = [&](const char *path, const char *type, const char *content) {
        server.Get(path, [=](const Request &, Response &response) { response.set_content(content, type); });
    };
    show("/", "text/html; charset=utf-8", kPageHtml);
    show("/page.css", "text/css", kPageCss);
    show("/page.js", "text/javascript", kPageJs);
    server.Get("/status.json", [&agents](const Request &, Response &response) {
        wire::Status status;
        read_status(agents, 0, true, status);
        response.set_content(status_json(status), "application/json");
    });
    server.Get("/metrics",
               [&agents](const Request &, Response &response) { response.set_content(metrics(agents), Exposition::kContentType); });
}

}  // namespace

HttpServer::HttpServer() : server_(std::make_unique<httplib::Server>()) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::string &text, Agents &agents) {
    const auto where = Where::parse(text);
    if (!where) return std::unexpected(where.error());
    std::unique_ptr<HttpServer> server(new HttpServer);
    httplib::Server &http = *server->server_;
    http.set_address_family(where->family);
    http.set_payload_max_length(0);
    http.set_read_timeout(kTimeoutS);
    http.set_write_timeout(kTimeoutS);
    http.set_keep_alive_max_count(1);  // or each page that is open would have a thread to itself
    http.new_task_queue = [] { return new BoundedQueue; };
    answer(http, agents);
    const int port = where->port == 0 ? http.bind_to_any_port(where->host.c_str())
                                      : (http.bind_to_port(where->host.c_str(), where->port) ? where->port : -1);
    if (port < 0) return fail_errno(fmt::format("cannot listen at {}", text));
    server->where_ = fmt::format("{}:{}", text.substr(0, text.rfind(':')), port);
    return server;
}

bool HttpServer::serve() { return server_->listen_after_bind(); }
void HttpServer::stop() { server_->stop(); }

}  // namespace sansock::control
