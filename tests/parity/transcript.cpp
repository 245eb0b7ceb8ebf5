#include "transcript.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "sockets.hpp"

namespace sansock::parity {

namespace {
/// Above what the cases open, so that the lowest free number is the same everywhere.
constexpr int kTranscriptFdMin = 300;
constexpr std::size_t kShownMax = 48;
}  // namespace

Transcript::Transcript() : fd_(must("transcript", fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, kTranscriptFdMin))) {}

void Transcript::says(std::string_view label, std::string_view text) const {
    std::string line(label);
    line.append(" = ").append(text).append("\n");
    must("transcript", write(fd_, line.data(), line.size()));
}

void Transcript::outcome(std::string_view label, const Outcome &outcome) const {
    std::string text = std::to_string(outcome.result);
    if (outcome.error != 0) text += " " + errno_name(outcome.error);
    if (!outcome.bytes.empty()) text += " " + shown(outcome.bytes);
    says(label, text);
}

void Transcript::remark(std::string_view text) const {
    std::string line("# ");
    line.append(text).append("\n");
    must("transcript", write(fd_, line.data(), line.size()));
}

std::string errno_name(int error) {
    const char *name = strerrorname_np(error);
    return name != nullptr ? name : std::to_string(error);
}

std::string event_names(unsigned events) {
    constexpr std::pair<unsigned, const char *> kNames[] = {
        {POLLIN, "IN"},         {POLLPRI, "PRI"},       {POLLOUT, "OUT"},       {POLLERR, "ERR"},
        {POLLHUP, "HUP"},       {POLLNVAL, "NVAL"},     {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"},
        {POLLWRNORM, "WRNORM"}, {POLLWRBAND, "WRBAND"}, {POLLRDHUP, "RDHUP"},
    };
    std::string text;
    for (const auto &[bit, name] : kNames) {
        if ((events & bit) != 0) text += (text.empty() ? "" : "|") + std::string(name);
        events &= ~bit;
    }
    if (events != 0) text += "|?" + std::to_string(events);
    return text.empty() ? "none" : text;
}

std::string shown(std::string_view bytes) {
    if (bytes.size() > kShownMax) {
        std::uint64_t sum = 0xcbf29ce484222325u;  // FNV-1a
        for (const unsigned char byte : bytes) sum = (sum ^ byte) * 0x100000001b3u;
        char text[64];
        snprintf(text, sizeof text, "<%zu bytes, sum %016lx>", bytes.size(), sum);
        return text;
    }
    std::string text = "\"";
    for (const unsigned char byte : bytes) {
        char escaped[8];
        const bool plain = byte >= ' ' && byte < 127 && byte != '\\' && byte != '"';
        snprintf(escaped, sizeof escaped, plain ? "%c" : "\\x%02x", byte);
        text += escaped;
    }
    return text + "\"";
}

}  // namespace sansock::parity
