// A second process for the tests of providers, and a channel to it that carries what the host would.
#pragma once
#include <sys/types.h>

#include <functional>

#include "provider_conformance.hpp"

namespace sansock::conformance {

void send_offer(int channel, const plugin::Offer &offer);
/// Throws when the other process is gone.
[[nodiscard]] plugin::Offer receive_offer(int channel);

/// A process that runs `body` with its end of a channel, and is gone when the case ends.
class Process {
public:
    explicit Process(const std::function<void(int channel)> &body);
    ~Process() { kill(); }
    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;

    [[nodiscard]] int channel() const { return channel_.get(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill();
    /// The exit status.
    int wait();

private:
    UniqueFd channel_;
    pid_t pid_ = -1;
};

/// Polls the one end until `done`, for at most twenty seconds.
void wait_until(const std::function<bool()> &done, End &end);

}  // namespace sansock::conformance
