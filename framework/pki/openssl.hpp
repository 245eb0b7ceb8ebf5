// What is OpenSSL's, as objects that give themselves back, and its errors as text.
#pragma once
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace sansock::pki {

template <auto give_back>
struct GiveBack {
    template <class T>
    void operator()(T *what) const {
        give_back(what);
    }
};

using BignumPtr = std::unique_ptr<BIGNUM, GiveBack<BN_free>>;
using BioPtr = std::unique_ptr<BIO, GiveBack<BIO_free_all>>;
using ContextPtr = std::unique_ptr<SSL_CTX, GiveBack<SSL_CTX_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, GiveBack<X509_CRL_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, GiveBack<ASN1_INTEGER_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, GiveBack<EVP_PKEY_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, GiveBack<GENERAL_NAMES_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, GiveBack<X509_STORE_CTX_free>>;
using StorePtr = std::unique_ptr<X509_STORE, GiveBack<X509_STORE_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, GiveBack<ASN1_TIME_free>>;
using X509Ptr = std::unique_ptr<X509, GiveBack<X509_free>>;

/// What went wrong first in this thread's calls, of which it forgets all.
[[nodiscard]] std::string openssl_error();

/// Of OpenSSL's memory, to be read as PEM. The text has to outlive it.
[[nodiscard]] BioPtr reader_of(const std::string &text);
[[nodiscard]] std::string text_of(BIO *bio);

}  // namespace sansock::pki
