// SHA-256 of bytes that come in pieces, by OpenSSL.
#pragma once
#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>

namespace file_copy {

using Digest = std::array<std::byte, 32>;

class Sha256 {
public:
    Sha256() { check(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }

    void update(std::span<const std::byte> bytes) { check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size())); }

    Digest finish() {
        Digest digest;
        check(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char *>(digest.data()), nullptr));
        return digest;
    }

private:
    static void check(bool ok) {
        if (!ok) throw std::runtime_error("OpenSSL cannot compute SHA-256");
    }

    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

}  // namespace file_copy
