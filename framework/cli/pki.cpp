// `sansock pki`: by which certificates the hosts of a fleet know each other.
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/columns.hpp"
#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "pki/authority.hpp"
#include "pki/credentials.hpp"
#include "pki/files.hpp"

namespace sansock::cli {
namespace {

using pki::Authority;
using pki::Issued;

struct Options {
    std::string directory, name = "sansock", host, out, what;
    std::vector<std::string> addresses;
    int days = 3650;
    std::optional<int> days_of_host;
    std::string from, until;  ///< For tests: of clocks, and of what has ended.
};

Status failed(const Error &error) {
    fmt::print(stderr, "sansock: {}\n", error.text);
    return kFindings;
}

Result<pki::Period> period_of(const Options &options) {
    pki::Period period{.days = options.days_of_host};
    for (const auto &[text, to] : {std::pair(&options.from, &period.from), std::pair(&options.until, &period.until)}) {
        if (text->empty()) continue;
        const auto seconds = pki::parse_time(*text);
        if (!seconds) return std::unexpected(seconds.error());
        *to = *seconds;
    }
    return period;
}

/// All that a host needs, in one directory, with the names under which its daemon looks for it.
Result<void> deploy(const Authority &authority, const Issued &issued, const std::string &directory, pki::Existing existing) {
    if (const auto made = pki::make_directory(directory); !made) return made;
    std::vector<pki::NewFile> files{{directory + "/" + pki::kHostKeyFile, issued.key, pki::kSecretMode},
                                    {directory + "/" + pki::kHostFile, issued.certificate}};
    if (const auto written = pki::write_files(files, existing); !written) return written;
    files = {{directory + "/" + pki::kAuthorityFile, authority.pem()}};
    if (const std::string revoked = authority.file(pki::kRevokedFile); std::filesystem::exists(revoked)) {
        auto list = pki::read_file(revoked);
        if (!list) return std::unexpected(list.error());
        files.push_back({directory + "/" + pki::kRevokedFile, std::move(*list)});
    }
    return pki::write_files(files, pki::Existing::kReplace);
}

Status init(const Options &options) {
    const auto made = Authority::make(options.directory, options.name, options.days);
    if (!made) return failed(made.error());
    fmt::print("the authority {} is in {}, valid until {}; keep {} to yourself\n", made->names.host, options.directory,
               pki::text_of_time(made->until), pki::kAuthorityKeyFile);
    return kOk;
}

/// Into the two files, or where `--out` says.
Status put(const Options &options, const Authority &authority, const Issued &issued, const std::string &key_file, const std::string &file,
           pki::Existing existing) {
    Result<void> written;
    if (options.out.empty()) {
        written = pki::write_files({{key_file, issued.key, pki::kSecretMode}, {file, issued.certificate}}, existing);
    } else {
        written = deploy(authority, issued, options.out, existing);
    }
    if (!written) return failed(written.error());
    fmt::print("the certificate of {}, serial {}, is in {}, valid until {}{}\n", issued.description.names.host, issued.description.serial,
               options.out.empty() ? file : options.out, pki::text_of_time(issued.description.until),
               issued.is_cut ? ", when its authority ends" : "");
    return kOk;
}

Status issue(const Options &options) {
    pki::Names names{.host = options.host};
    if (const auto right = pki::check_host(names.host); !right) return failed(right.error());
    if (names.host == "ca" || names.host == "crl" || names.host == "host")
        return failed({EINVAL, fmt::format("\"{}\" would be taken for another file of the directory; name the host in full", names.host)});
    for (const std::string &text : options.addresses) {
        const auto address = pki::check_address(text);
        if (!address) return failed(address.error());
        if (!names.speaks_for(*address)) names.addresses.push_back(*address);
    }
    const auto authority = Authority::open(options.directory);
    if (!authority) return failed(authority.error());
    const auto period = period_of(options);
    if (!period) return failed(period.error());
    const auto issued = authority->issue(names, *period);
    if (!issued) return failed(issued.error());
    const std::string base = options.directory + "/" + names.host;
    return put(options, *authority, *issued, base + ".key", base + ".pem", pki::Existing::kRefuse);
}

Result<pki::X509Ptr> read_certificate(const std::string &file) {
    const auto pem = pki::read_file(file);
    if (!pem) return std::unexpected(pem.error());
    auto certificates = pki::certificates_of(*pem, file);
    if (!certificates) return std::unexpected(certificates.error());
    return std::move(certificates->front());
}

/// A certificate of a file that this authority has made.
Result<pki::Description> own_certificate(const Authority &authority, const std::string &file) {
    const auto certificate = read_certificate(file);
    if (!certificate) return std::unexpected(certificate.error());
    pki::Description what = pki::describe(certificate->get());
    if (what.is_authority || !authority.has_issued(certificate->get()))
        return fail(EINVAL, fmt::format("{} is not a certificate that this authority has made for a host", file));
    return what;
}

/// Where a certificate is that was named by its file, by its host, or by the directory of all that its host needs; empty: nowhere.
std::string file_of(const Options &options) {
    if (std::filesystem::is_directory(options.what)) return options.what + "/" + pki::kHostFile;
    const std::string in_directory = options.directory + "/" + options.what + ".pem";
    if (!std::filesystem::exists(options.what) && std::filesystem::exists(in_directory)) return in_directory;
    return std::filesystem::exists(options.what) ? options.what : "";
}

Status renew(const Options &options) {
    const auto authority = Authority::open(options.directory);
    if (!authority) return failed(authority.error());
    const std::string found = file_of(options), file = found.empty() ? options.what : found;
    const auto before = own_certificate(*authority, file);
    if (!before) return failed(before.error());
    const auto revoked = authority->is_revoked(before->serial);
    if (!revoked) return failed(revoked.error());
    if (*revoked)
        return failed({EPERM, fmt::format("the certificate {} of {} is revoked, and is not renewed; issue another one", before->serial,
                                          before->names.host)});
    const auto period = period_of(options);
    if (!period) return failed(period.error());
    const auto issued = authority->issue(before->names, *period);
    if (!issued) return failed(issued.error());
    return put(options, *authority, *issued, std::filesystem::path(file).replace_extension(".key"), file, pki::Existing::kReplace);
}

Status revoke(const Options &options) {
    const auto authority = Authority::open(options.directory);
    if (!authority) return failed(authority.error());
    std::string serial = options.what;
    if (const std::string file = file_of(options); !file.empty()) {
        const auto what = own_certificate(*authority, file);
        if (!what) return failed(what.error());
        serial = what->serial;
    }
    const auto revoked = authority->revoke(serial);
    if (!revoked) return failed(revoked.error());
    fmt::print("the certificate {} {}; {} is to be put beside {} of every host\n", serial, *revoked ? "is revoked" : "was revoked before",
               authority->file(pki::kRevokedFile), pki::kAuthorityFile);
    return kOk;
}

const char *state_of(const pki::Description &what) {
    const int64_t now = time(nullptr);
    return now < what.from ? "not yet valid" : now >= what.until ? "expired" : "valid";
}

void print_certificates(const std::vector<pki::X509Ptr> &certificates) {
    std::vector<std::vector<std::string>> rows;
    for (const auto &certificate : certificates) {
        const pki::Description what = pki::describe(certificate.get());
        std::string addresses;
        for (const config::Address &address : what.names.addresses) addresses += (addresses.empty() ? "" : " ") + address.text();
        if (addresses.empty()) addresses = what.is_authority ? "an authority" : "none";
        rows.push_back(
            {what.names.host, addresses, pki::text_of_time(what.from), pki::text_of_time(what.until), state_of(what), what.serial});
    }
    fmt::print("{}", in_columns({{"WHO"}, {"ADDRESSES"}, {"FROM"}, {"UNTIL"}, {"STATE"}, {"SERIAL"}}, rows));
}

void print_revoked(const std::vector<pki::CrlPtr> &lists) {
    std::vector<std::vector<std::string>> rows;
    for (const auto &list : lists) {
        STACK_OF(X509_REVOKED) *const entries = X509_CRL_get_REVOKED(list.get());
        for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
            const X509_REVOKED *const entry = sk_X509_REVOKED_value(entries, i);
            rows.push_back({pki::hex_of(X509_REVOKED_get0_serialNumber(entry)),
                            pki::text_of_time(pki::seconds_of(X509_REVOKED_get0_revocationDate(entry)))});
        }
    }
    fmt::print("{}", in_columns({{"REVOKED SERIAL"}, {"SINCE"}}, rows));
}

Status show(const Options &options) {
    const auto pem = pki::read_file(options.what);
    if (!pem) return failed(pem.error());
    if (pem->find("BEGIN X509 CRL") != std::string::npos) {
        const auto lists = pki::crls_of(*pem, options.what);
        if (!lists) return failed(lists.error());
        print_revoked(*lists);
        return kOk;
    }
    const auto certificates = pki::certificates_of(*pem, options.what);
    if (!certificates) return failed(certificates.error());
    print_certificates(*certificates);
    return kOk;
}

using Action = Status (*)(const Options &);

/// What is done to an authority's directory.
CLI::App *add(CLI::App &verb, const char *name, const char *help, const std::shared_ptr<Options> &options, Invocation &invocation,
              Action action) {
    CLI::App *made = verb.add_subcommand(name, help);
    made->callback([options, &invocation, action] { invocation.status = action(*options); });
    return made;
}

void add_directory(CLI::App &action, const std::shared_ptr<Options> &options) {
    action.add_option("directory", options->directory, "The authority's directory")->required()->check(names_file());
}

void add_period(CLI::App &action, const std::shared_ptr<Options> &options) {
    action.add_option("--days", options->days_of_host, "How long it is valid; 365 unless told");
    action.add_option("--from", options->from)->group("");
    action.add_option("--until", options->until)->group("");
    action.add_option("--out", options->out, "A directory for all that the host needs, as its daemon looks for it")->check(names_file());
}

}  // namespace

void add_pki(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("pki", "Make the certificates by which hosts know each other");
    verb->require_subcommand(1);
    auto options = std::make_shared<Options>();

    CLI::App *action = add(*verb, "init", "Make an authority of your own", options, invocation, init);
    add_directory(*action, options);
    action->add_option("--name", options->name, "What it is called")->capture_default_str();
    action->add_option("--days", options->days, "How long it is valid")->capture_default_str();

    action = add(*verb, "issue", "Make a host's key and certificate", options, invocation, issue);
    add_directory(*action, options);
    action->add_option("host", options->host, "Its name")->required();
    action->add_option("--address", options->addresses, "An address by which other hosts reach it; each of them")
        ->required()
        ->expected(1)
        ->take_all();
    add_period(*action, options);

    action = add(*verb, "renew", "Make a new key and certificate with the names of an old one", options, invocation, renew);
    add_directory(*action, options);
    action->add_option("certificate", options->what, "The old one: its file, its host, or the directory of all that the host needs")
        ->required()
        ->check(names_file());
    add_period(*action, options);

    action = add(*verb, "revoke", "Let hosts refuse a certificate, once they have crl.pem", options, invocation, revoke);
    add_directory(*action, options);
    action->add_option("certificate", options->what, "Its file, its host, the directory of all that the host needs, or its serial")
        ->required()
        ->check(names_file());

    action = add(*verb, "show", "Say what a certificate, or a list of revoked ones, says", options, invocation, show);
    action->add_option("file", options->what, "The file")->required()->check(names_file());
}

}  // namespace sansock::cli
