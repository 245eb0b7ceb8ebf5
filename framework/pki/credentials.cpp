#include "pki/credentials.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include <algorithm>

#include "pki/authority.hpp"
#include "pki/files.hpp"

namespace sansock::pki {
namespace {

constexpr long kChainMax = 16384;  ///< Bytes of certificates that somebody may show.

/// What only an authority that has revoked something has a list of: one without a list has revoked nothing.
bool lacks_list(X509_STORE_CTX *context) { return X509_STORE_CTX_get_error(context) == X509_V_ERR_UNABLE_TO_GET_CRL; }

const char *reason_of(int error) {
    switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED: return "expired";
        case X509_V_ERR_CERT_NOT_YET_VALID: return "early";
        case X509_V_ERR_CERT_REVOKED: return "revoked";
        case X509_V_ERR_IP_ADDRESS_MISMATCH: return "address";
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: return "foreign";
        default: return "other";
    }
}

int on_verify(int fine, X509_STORE_CTX *context) {
    if (fine == 1) return 1;
    if (lacks_list(context)) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    const auto *ssl = static_cast<SSL *>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto *refusal = ssl == nullptr ? nullptr : static_cast<Refusal *>(SSL_get_app_data(ssl));
    if (refusal == nullptr) return 0;
    const int error = X509_STORE_CTX_get_error(context);
    refusal->reason = reason_of(error);
    refusal->text = X509_verify_cert_error_string(error);
    if (X509 *const shown = X509_STORE_CTX_get_current_cert(context); shown != nullptr) {
        const Description what = describe(shown);
        refusal->text = fmt::format("{} ({}, serial {}, valid from {} until {})", refusal->text, what.names.host, what.serial,
                                    text_of_time(what.from), text_of_time(what.until));
    }
    return 0;
}

std::unexpected<Error> failed(const std::string &what) { return fail(EPROTO, fmt::format("{}: {}", what, openssl_error())); }

Result<void> trust(SSL_CTX *context, const std::string &directory) {
    const std::string file = directory + "/" + kAuthorityFile, list_file = directory + "/" + kRevokedFile;
    const auto pem = read_file(file);
    if (!pem) return std::unexpected(pem.error());
    const auto authorities = certificates_of(*pem, file);
    if (!authorities) return std::unexpected(authorities.error());
    X509_STORE *const store = SSL_CTX_get_cert_store(context);
    for (const X509Ptr &authority : *authorities) {
        if (!describe(authority.get()).is_authority) return fail(EINVAL, fmt::format("{} has a certificate that is no authority's", file));
        if (X509_STORE_add_cert(store, authority.get()) != 1) return failed(file);
    }
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    struct stat there {};
    if (stat(list_file.c_str(), &there) != 0 && errno == ENOENT) return {};
    const auto list_pem = read_file(list_file);
    if (!list_pem) return std::unexpected(list_pem.error());
    const auto lists = crls_of(*list_pem, list_file);
    if (!lists) return std::unexpected(lists.error());
    for (const CrlPtr &list : *lists) {
        const bool known = std::ranges::any_of(
            *authorities, [&](const X509Ptr &authority) { return X509_CRL_verify(list.get(), X509_get0_pubkey(authority.get())) == 1; });
        ERR_clear_error();
        if (!known) return fail(EINVAL, fmt::format("{} has a list that no authority of {} has signed", list_file, file));
        if (X509_STORE_add_crl(store, list.get()) != 1) return failed(list_file);
    }
    return {};
}

/// How the authorities find a certificate; X509_V_OK: fine.
int verify(SSL_CTX *context, X509 *certificate, unsigned long flags) {
    const StoreContextPtr checking(X509_STORE_CTX_new());
    if (!checking || X509_STORE_CTX_init(checking.get(), SSL_CTX_get_cert_store(context), certificate, nullptr) != 1)
        return X509_V_ERR_OUT_OF_MEM;
    X509_STORE_CTX_set_flags(checking.get(), flags);
    X509_STORE_CTX_set_verify_cb(checking.get(), [](int fine, X509_STORE_CTX *of) {
        if (fine == 0 && lacks_list(of)) {
            X509_STORE_CTX_set_error(of, X509_V_OK);
            return 1;
        }
        return fine;
    });
    X509_verify_cert(checking.get());
    return X509_STORE_CTX_get_error(checking.get());
}

Result<Description> show(SSL_CTX *context, const std::string &directory, bool &revoked) {
    const std::string file = directory + "/" + kHostFile, key_file = directory + "/" + kHostKeyFile;
    const auto pem = read_file(file);
    if (!pem) return std::unexpected(pem.error());
    const auto chain = certificates_of(*pem, file);
    if (!chain) return std::unexpected(chain.error());
    const auto key_pem = read_file(key_file, true);
    if (!key_pem) return std::unexpected(key_pem.error());
    const auto key = key_of(*key_pem, key_file);
    if (!key) return std::unexpected(key.error());
    X509 *const own = chain->front().get();
    if (X509_check_private_key(own, key->get()) != 1) {
        ERR_clear_error();
        return fail(EINVAL, fmt::format("{} is not the key of {}; the two belong together", key_file, file));
    }
    if (SSL_CTX_use_certificate(context, own) != 1 || SSL_CTX_use_PrivateKey(context, key->get()) != 1) return failed(file);
    for (size_t i = 1; i < chain->size(); ++i) {
        if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) return failed(file);
    }
    Description what = describe(own);
    if (what.names.addresses.empty())
        return fail(EINVAL, fmt::format("{} names no address, so that nobody lets this host speak for one; issue it with --address", file));
    if (chain->size() == 1) {
        if (const int error = verify(context, own, X509_V_FLAG_NO_CHECK_TIME); error != X509_V_OK && error != X509_V_ERR_CERT_REVOKED)
            return fail(EINVAL, fmt::format("{} is not of the authority {}/{}: {}", file, directory, kAuthorityFile,
                                            X509_verify_cert_error_string(error)));
        else
            revoked = error == X509_V_ERR_CERT_REVOKED;
    }
    return what;
}

}  // namespace

Result<std::shared_ptr<const Credentials>> Credentials::load(const std::string &directory) {
    std::shared_ptr<Credentials> loaded(new Credentials);
    loaded->context_ = ContextPtr(SSL_CTX_new(TLS_method()));
    SSL_CTX *const context = loaded->context_.get();
    if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) return failed("cannot begin with TLS");
    if (const auto trusted = trust(context, directory); !trusted) return std::unexpected(trusted.error());
    auto own = show(context, directory, loaded->revoked_);
    if (!own) return std::unexpected(own.error());
    loaded->own_ = std::move(*own);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    // A session that is taken up again would not look at certificates again.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_max_cert_list(context, kChainMax);
    SSL_CTX_set_mode(
        context, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return loaded;
}

SSL *Credentials::connection(Refusal &refusal) const {
    SSL *const ssl = SSL_new(context_.get());
    if (ssl != nullptr) SSL_set_app_data(ssl, &refusal);
    return ssl;
}

std::string Credentials::warning(int64_t now) const {
    constexpr int64_t kSoon = 14 * 86'400;
    if (revoked_) return "is revoked: other hosts refuse it; issue another one (sansock pki issue)";
    if (now < own_.from)
        return fmt::format("is valid from {} on, and the clock of this machine says {}: other hosts refuse it", text_of_time(own_.from),
                           text_of_time(now));
    if (now >= own_.until)
        return fmt::format("was valid until {}, and the clock of this machine says {}: other hosts refuse it; renew it (sansock pki renew)",
                           text_of_time(own_.until), text_of_time(now));
    if (now + kSoon >= own_.until) return fmt::format("is valid until {} only; renew it (sansock pki renew)", text_of_time(own_.until));
    return {};
}

std::string Credentials::state_of_files(const std::string &directory) {
    std::string state;
    for (const char *name : {kAuthorityFile, kHostFile, kHostKeyFile, kRevokedFile}) {
        struct stat is {};
        if (stat((directory + "/" + name).c_str(), &is) != 0) is = {};
        state += fmt::format("{}.{}.{}.{}.{} ", is.st_ino, is.st_size, is.st_mtim.tv_sec, is.st_mtim.tv_nsec, is.st_ctim.tv_nsec);
    }
    return state;
}

const char *reason_of_alert(unsigned long error) {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return nullptr;
    switch (ERR_GET_REASON(error)) {
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return "expired";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED: return "revoked";
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "foreign";
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return "none";
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_TLSV1_ALERT_ACCESS_DENIED: return "other";
        default: return nullptr;
    }
}

}  // namespace sansock::pki
