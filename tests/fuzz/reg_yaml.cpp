// A configuration with lines of a .reg file in its comments, and whatever else was done to it, is refused or becomes a .reg file that says
// what it says.
#include "config/load.hpp"
#include "fuzz.hpp"
#include "registry/convert.hpp"

using namespace sansock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string yaml(reinterpret_cast<const char *>(data), size);
    const auto file = registry::export_registry(yaml, "san.yaml");
    const auto before = config::load_text(yaml, "san.yaml");
    if (!file) {
        MUST(!file.error().empty() && file.error()[0].position.line >= 1);
        return 0;
    }
    MUST(before.config);
    const auto again = registry::import_registry(file->text, "san.reg", "acme");
    if (!again) return 0;  // a line behind #reg that was edited may leave quotes open
    const auto after = config::load_text(again->text, "san.yaml");
    if (!after.config) return 0;  // it has become too long
    for (const config::Provider &provider : before.config->providers) {
        if (provider.position == config::Position{}) continue;  // the default
        const config::Provider *const found = after.config->find(provider.guid);
        MUST(found != nullptr && found->send_buffers == provider.send_buffers && found->receive_buffers == provider.receive_buffers);
    }
    MUST(registry::export_registry(again->text, "san.yaml")->text == file->text);
    return 0;
}
