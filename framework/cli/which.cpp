#include "cli/which.hpp"

#include <algorithm>

namespace sansock::cli {

CLI::Option *add_which(CLI::App &verb, std::vector<std::string> &words) {
    return verb.add_option("which", words, "Only these: a program, a process's number, or an address or its end, as :6379");
}

bool matches(const control::wire::Connection &connection, const std::vector<std::string> &words) {
    return words.empty() || std::ranges::any_of(words, [&](const std::string &word) {
               return connection.program == word || std::to_string(connection.pid) == word || connection.local.ends_with(word) ||
                      connection.peer.ends_with(word);
           });
}

}  // namespace sansock::cli
