// Who runs next, what time it is, and who sleeps on what. One operating system thread; every choice comes from the seed.
//
// An actor runs until a point (base/point.hpp) where the scheduler feels like running somebody else. Actors have weights, drawn anew for
// every seed, so that in some runs one is a thousand times slower than another: most races need exactly that.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "random.hpp"

namespace sansock::simulation {

inline constexpr uint64_t kForever = UINT64_MAX;

struct Actor {
    enum class State { kRunnable, kAsleep, kDone, kGone };
    std::string name;
    int process = -1;  ///< Index of the process it belongs to; -1: the world's.
    uint32_t thread_id = 0;
    State state = State::kDone;
    bool stopped = false;  ///< Not scheduled, for ever or until `stopped_until`.
    uint64_t stopped_until = 0;
    uint64_t weight = 1;
    uint64_t wake_at = kForever;
    std::array<const void *, 3> keys{};
    bool woken = false;
    Fiber fiber;
};

/// What watches the points that actors pass.
class Watcher {
public:
    /// May kill or stop the actor: then nothing runs there any more.
    virtual void passed(Actor &actor, int point) = 0;
    /// It has lost its processor for a while.
    virtual void preempted(Actor &actor) = 0;

protected:
    ~Watcher() = default;
};

class Scheduler {
public:
    static Scheduler &get();

    void reset(uint64_t seed, Watcher *watcher);
    Actor &spawn(std::string name, int process, std::function<void()> body);
    /// Runs until nobody can run any more, or `limit_ns` of simulated time or `limit_points` are over.
    enum class Stop { kQuiet, kTime, kPoints, kFailure };
    Stop run(uint64_t limit_ns, uint64_t limit_points);

    // --- from inside an actor ---
    void point(const char *name);
    void yield();
    /// Sleeps until one of the keys is woken or the time comes. False: it was the time.
    bool sleep(std::array<const void *, 3> keys, uint64_t until_ns);
    /// Ends the run: the simulation has found something.
    void fail(std::string what);
    [[nodiscard]] Actor *running() const { return running_; }

    // --- from anywhere ---
    /// Answers how many slept on it.
    int wake(const void *key);
    [[nodiscard]] uint64_t now_ns() const { return now_ns_; }
    [[nodiscard]] uint64_t points_passed() const { return points_; }
    [[nodiscard]] const std::string &failure() const { return failure_; }
    /// All its threads, but for one that goes on as another program.
    void kill(int process, const Actor *except = nullptr);
    void stop(int process, uint64_t until_ns);
    [[nodiscard]] bool thread_lives(uint32_t thread_id) const;
    [[nodiscard]] std::vector<Actor *> actors() const { return {live_.begin(), live_.end()}; }

    /// Points are numbered as they are first seen by name in point_names().
    static int point_id(const char *name);

    /// Prints events while on.
    bool tracing = false;
    [[gnu::format(printf, 2, 3)]] void trace(const char *format, ...);
    Random random;

private:
    Actor *choose();
    void switch_from(Actor &actor);

    std::vector<std::unique_ptr<Actor>> pool_;
    std::vector<Actor *> live_;
    Watcher *watcher_ = nullptr;
    Actor *running_ = nullptr;
    uint64_t now_ns_ = 0, points_ = 0, limit_points_ = 0;
    static constexpr uint64_t kPreemptedNsMax = 12'000'000;  ///< Three times as long as a sleeper's first sleep.
    uint64_t run_length_ = 1, until_switch_ = 1;
    uint64_t preempted_every_ = 0, until_preempted_ = 1;  ///< In points, on average; 0: nobody is.
    void preempt(Actor &actor);
    std::string failure_;
};

}  // namespace sansock::simulation
