// `sansock top`: the connections of this host, live, in a terminal.
#include <fmt/format.h>
#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstring>
#include <memory>
#include <sstream>

#include "cli/complaint.hpp"
#include "cli/sampled.hpp"
#include "cli/verbs.hpp"
#include "cli/which.hpp"

#define NCURSES_NOMACROS
#include <curses.h>

namespace sansock::cli {
namespace {

namespace wire = control::wire;

struct Options {
    std::string directory;
    std::vector<std::string> words;
    double period_s = 1;
};

constexpr int kEscape = 27;
constexpr int kAside = 8;  ///< Columns that the arrows move the table by.
constexpr double kPeriodMin = 0.1, kPeriodMax = 3600;

enum Colour : short { kPlain = 0, kGood = 1, kTcp = 2, kShort = 3 };

/// What rows are in order of, by the key that chooses it.
struct Order {
    int key;
    const char *title;
    double (*of)(const wire::Connection &connection, const Rates &rates);  ///< The largest first; nullptr: by name, as they come.
};

constexpr Order kOrders[] = {
    {'p', "PROGRAM", nullptr},
    {'s', "SENDS", [](const wire::Connection &, const Rates &rates) { return rates.sends.value_or(0); }},
    {'r', "RECEIVES", [](const wire::Connection &, const Rates &rates) { return rates.receives.value_or(0); }},
    {'k', "KEPT", [](const wire::Connection &c, const Rates &) { return c.window > 0 ? static_cast<double>(c.kept) : -1; }},
    {'f', "FULL", [](const wire::Connection &c, const Rates &) { return static_cast<double>(c.full); }},
    {'w', "WHY ON TCP", [](const wire::Connection &c, const Rates &) { return c.reason.empty() ? 0.0 : 1.0; }},
};

constexpr const char *kKeys =
    "q quit  p s r k f w order  t only TCP  / find  space hold  +/- period  arrows, page up and down, home, end move";

/// The terminal is curses' while it lives.
class Screen {
public:
    Screen() {
        std::setlocale(LC_ALL, "");
        initscr();
        cbreak();
        noecho();
        keypad(stdscr, true);
        curs_set(0);
        set_escdelay(100);
        if (has_colors()) {
            start_color();
            use_default_colors();
            init_pair(kGood, COLOR_GREEN, -1);
            init_pair(kTcp, COLOR_YELLOW, -1);
            init_pair(kShort, COLOR_RED, -1);
        }
    }
    ~Screen() { endwin(); }
    Screen(const Screen &) = delete;
    Screen &operator=(const Screen &) = delete;

    /// As much of a line as there is room for, from its column `from` on.
    static void line(int row, const std::string &text, Colour colour = kPlain, attr_t attributes = A_NORMAL, size_t from = 0) {
        if (row >= LINES || from >= text.size()) return;
        attr_set(attributes, colour, nullptr);
        mvaddnstr(row, 0, text.c_str() + from, COLS);
        attr_set(A_NORMAL, 0, nullptr);
    }
};

class Top {
public:
    explicit Top(const Options &options) : options_(options), period_s_(options.period_s) {}

    /// Until somebody wants no more of it, or the daemon is gone.
    Result<void> run() {
        for (;;) {
            if (!held_) {
                auto taken = take_sample(options_.directory, options_.words);
                if (!taken) return std::unexpected(taken.error());
                before_ = std::exchange(now_, std::move(*taken));
            }
            draw();
            const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(period_s_);
            for (;;) {
                const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
                if (left <= 0) break;
                timeout(static_cast<int>(left));
                const int key = getch();
                if (key == ERR) break;
                if (!take(key)) return {};
                draw();
            }
        }
    }

private:
    struct Row {
        const wire::Connection *connection;
        Rates rates;
    };

    /// False: it is to end.
    bool take(int key) {
        if (finding_) return find(key), true;
        const auto order = std::ranges::find(kOrders, key, &Order::key);
        if (order != std::end(kOrders)) {
            order_ = order;
            top_ = 0;
            return true;
        }
        const int page = std::max(1, LINES - kHead - 1);
        switch (key) {
            case 'q': return false;
            case 't': only_tcp_ = !only_tcp_; break;
            case '/': finding_ = true; break;
            case ' ': held_ = !held_; break;
            case '+': period_s_ = std::min(kPeriodMax, period_s_ * 2); break;
            case '-': period_s_ = std::max(kPeriodMin, period_s_ / 2); break;
            case KEY_DOWN: ++top_; break;
            case KEY_UP: --top_; break;
            case KEY_NPAGE: top_ += page; break;
            case KEY_PPAGE: top_ -= page; break;
            case KEY_HOME: top_ = 0; break;
            case KEY_END: top_ = INT32_MAX; break;
            case KEY_RIGHT: aside_ += kAside; break;
            case KEY_LEFT: aside_ = std::max(0, aside_ - kAside); break;
            default: break;
        }
        return true;
    }

    void find(int key) {
        if (key == '\n' || key == KEY_ENTER || key == kEscape) {
            finding_ = false;
            if (key == kEscape) wanted_.clear();
        } else if (key == KEY_BACKSPACE || key == 127 || key == '\b') {
            if (!wanted_.empty()) wanted_.pop_back();
        } else if (key >= ' ' && key < 127) {
            wanted_ += static_cast<char>(key);
        }
        top_ = 0;
    }

    [[nodiscard]] std::vector<Row> rows() const {
        const Rated rated(*now_, before_);
        std::vector<Row> rows;
        for (const auto &connection : now_->status.connections) {
            if (only_tcp_ && connection.reason.empty()) continue;
            Row row{&connection, rated.of(connection)};
            if (!wanted_.empty() && !std::ranges::any_of(cells_of(connection, row.rates), [this](const std::string &cell) {
                    return cell.find(wanted_) != std::string::npos;
                }))
                continue;
            rows.push_back(row);
        }
        if (order_->of != nullptr) {
            std::ranges::stable_sort(rows, std::ranges::greater(),
                                     [this](const Row &row) { return order_->of(*row.connection, row.rates); });
        }
        return rows;
    }

    void draw() {
        erase();
        const std::vector<Row> rows = this->rows();
        double sends = 0, receives = 0;
        std::vector<std::vector<std::string>> cells;
        for (const Row &row : rows) {
            sends += row.rates.sends.value_or(0);
            receives += row.rates.receives.value_or(0);
            cells.push_back(cells_of(*row.connection, row.rates));
        }
        Screen::line(0, fmt::format("sansock top: {}{}", summary(now_->status), held_ ? "  HELD" : ""), kPlain, A_BOLD);
        Screen::line(1, fmt::format("{} shown, which send {}/s and receive {}/s; every {:g} s{}", rows.size(), bytes_for_people(sends),
                                    bytes_for_people(receives), period_s_, only_tcp_ ? "; only those on TCP" : ""));
        Screen::line(2, finding_ ? fmt::format("find: {}_", wanted_) : wanted_.empty() ? "" : fmt::format("find: {}", wanted_));
        const std::vector<Column> columns = columns_of_connections(true);
        std::istringstream table(in_columns(columns, cells));
        std::string text;
        std::getline(table, text);
        const auto from = static_cast<size_t>(aside_);
        Screen::line(kHead - 1, text + std::string(static_cast<size_t>(COLS), ' '), kPlain, A_REVERSE, from);
        if (const size_t at = text.find(order_->title); at != std::string::npos && at >= from)
            mvchgat(kHead - 1, static_cast<int>(at - from), static_cast<int>(std::strlen(order_->title)), A_BOLD, 0, nullptr);
        const int room = std::max(0, LINES - kHead - 1);
        top_ = std::clamp(top_, 0, std::max(0, static_cast<int>(rows.size()) - room));
        for (int i = 0; std::getline(table, text) && i < top_ + room; ++i) {
            if (i < top_) continue;
            const wire::Connection &connection = *rows[static_cast<size_t>(i)].connection;
            const bool is_short = connection.window > 0 && connection.buffers_held >= connection.buffers_max;
            Screen::line(kHead + i - top_, text, is_short ? kShort : connection.reason.empty() ? kGood : kTcp, A_NORMAL, from);
        }
        Screen::line(LINES - 1, kKeys, kPlain, A_DIM);
        refresh();
    }

    static constexpr int kHead = 4;  ///< Lines above the rows.

    const Options &options_;
    double period_s_;
    std::optional<Sample> now_, before_;
    const Order *order_ = &kOrders[1];
    bool only_tcp_ = false, held_ = false, finding_ = false;
    std::string wanted_;
    int top_ = 0, aside_ = 0;
};

Status show(const Options &options) {
    if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) {
        fmt::print(stderr, "sansock: top needs a terminal; `sansock status --watch` does not\n");
        return kUsage;
    }
    if (const auto there = take_sample(options.directory, options.words); !there) {
        fmt::print(stderr, "sansock: {}\n", there.error().text);
        return kFindings;
    }
    Result<void> ended;
    {
        const Screen screen;
        ended = Top(options).run();
    }
    if (ended) return kOk;
    fmt::print(stderr, "sansock: {}\n", ended.error().text);
    return kFindings;
}

}  // namespace

void add_top(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("top", "Show the connections of this host live, by way of sansockd");
    auto options = std::make_shared<Options>();
    add_which(*verb, options->words);
    verb->add_option("--period", options->period_s, "Seconds from one look to the next")
        ->capture_default_str()
        ->check(CLI::Range(kPeriodMin, kPeriodMax));
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    verb->callback([options, &invocation] { invocation.status = show(*options); });
}

}  // namespace sansock::cli
