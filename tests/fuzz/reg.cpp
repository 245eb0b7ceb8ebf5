// A .reg file is refused, with a place in it, or becomes a configuration that loads and from which it comes back byte for byte.
#include "config/load.hpp"
#include "fuzz.hpp"
#include "registry/convert.hpp"
#include "registry/text.hpp"

using namespace sansock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string file(reinterpret_cast<const char *>(data), size);
    if (const auto text = registry::decode(file)) {
        MUST(registry::encode(*text) == file);
        for (const registry::Line &line : text->lines) {
            const auto again = registry::unescape(registry::escape(line.units, text->encoding), text->encoding);
            MUST(again && *again == line.units);
        }
    }
    const auto made = registry::import_registry(file, "san.reg", "acme");
    if (!made) {
        MUST(!made.error().empty());
        for (const config::Diagnostic &one : made.error()) MUST(one.position.line >= 1 && one.position.column >= 1 && !one.text.empty());
        return 0;
    }
    const auto loaded = config::load_text(made->text, "san.yaml");
    // What is larger than a configuration may be is one that was refused.
    MUST(loaded.config || made->text.size() > (size_t{256} << 10));
    if (!loaded.config) return 0;
    const auto back = registry::export_registry(made->text, "san.yaml");
    MUST(back && back->text == file);
    return 0;
}
