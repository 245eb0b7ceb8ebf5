#include "pki/openssl.hpp"

#include <openssl/err.h>

#include <array>

namespace sansock::pki {

std::string openssl_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "OpenSSL does not say why";
    if (const char *reason = ERR_reason_error_string(code); reason != nullptr) return reason;
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

BioPtr reader_of(const std::string &text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string text_of(BIO *bio) {
    char *bytes = nullptr;
    const long size = BIO_get_mem_data(bio, &bytes);
    return size > 0 ? std::string(bytes, static_cast<size_t>(size)) : std::string();
}

}  // namespace sansock::pki
