// All connectors of the process. When it ends, their threads end first: the libraries that they call end with it.
#pragma once
#include <unistd.h>

#include <mutex>
#include <vector>

namespace sansock::verbs {

class Connector;

class Connectors {
public:
    ~Connectors();
    void add(Connector &connector);
    void remove(Connector &connector) noexcept;

private:
    std::mutex mutex_;
    std::vector<Connector *> all_;
    pid_t process_ = ::getpid();
};

Connectors &connectors();

}  // namespace sansock::verbs
