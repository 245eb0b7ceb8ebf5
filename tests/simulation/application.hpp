// The two applications: they write bytes that say where they belong, and compare every byte that they read.
#pragma once
#include "socket.hpp"

namespace sansock::simulation {

class Application {
public:
    explicit Application(Process &process);
    void spawn();

private:
    void read_in_thread();
    void write_in_thread();
    void poll_in_thread();
    /// One call each. False: this half has come to its end.
    bool read_once(Socket &socket, bool wait);
    bool write_once(Socket &socket, bool wait);
    void end_of_writing(Socket &socket);
    void thread_ends(Socket &socket);
    /// What the application does between two calls. False: it never calls again.
    bool between_calls(Socket &socket);
    void check_bytes(const uint8_t *data, size_t size);
    void check_end_of_file();
    void check_error(const char *call, long error);
    [[nodiscard]] bool has_more_to_send() const;
    [[nodiscard]] bool wants_more_to_read() const;
    /// It does not write for the moment.
    [[nodiscard]] bool pauses() const;

    Process &p_;
    World &world_;
    const SidePlan &plan_;
    int threads_ = 0;
    bool left_ = false;
};

}  // namespace sansock::simulation
