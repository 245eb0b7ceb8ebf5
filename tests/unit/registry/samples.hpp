// .reg files as the registry editor writes them.
#pragma once
#include <string>

#include "registry/text.hpp"

namespace sansock::registry {

inline constexpr const char *kFirst = "5ed17caf-0120-4a3b-9bd9-1d4a2e2f0c11";
inline constexpr const char *kSecond = "6ed17caf-0120-4a3b-9bd9-1d4a2e2f0c11";
inline constexpr const char *kSan = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Winsock\\Parameters\\TCP on SAN";

/// Lines of ASCII as a file of this encoding, each ended by CR and LF.
inline std::string reg_file(const std::string &lines, Encoding encoding = Encoding::utf16le_mark) {
    Text text{.encoding = encoding, .lines = {{}}};
    for (const char unit : lines) {
        if (unit == '\n') {
            text.lines.emplace_back();
        } else {
            text.lines.back().units += static_cast<char16_t>(static_cast<unsigned char>(unit));
        }
    }
    if (text.lines.back().units.empty()) text.lines.pop_back();
    return encode(text);
}

inline std::string provider_key(const std::string &guid) { return std::string("[") + kSan + "\\{" + guid + "}]\n"; }

/// All that a key may hold.
inline std::string sample() {
    return std::string("Windows Registry Editor Version 5.00\n\n; 100 % of it\n[") + kSan +
           "]\n\"Other\"=\"two\nlines, \\\"quoted\\\"\"\n@=\"\"\n\n" + provider_key(kFirst) +
           "\"SendBuffers\"=dword:00000010\n\"ReceiveBuffers\"=dword:00000020\n\"Vendor\"=hex(7):41,00,\\\n  00,00\n\n" +
           provider_key(kSecond) + "\"sendbuffers\" = dword:12C ; too many \n\"ReceiveBuffers\"=\"8\"\n\n[" + kSan + "\\iSCSI]\n\n" +
           "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Other]\n\"SendBuffers\"=dword:00000007\nrubbish\n";
}

}  // namespace sansock::registry
