// Metrics as Prometheus reads them: OpenMetrics 1.0, text.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sansock::control {

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<Label>;

class Exposition {
public:
    static constexpr const char *kContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Samples that follow are of this family. `unit`, which the name ends with, may be empty.
    void family(std::string_view name, std::string_view type, std::string_view unit, std::string_view help);
    void sample(std::string_view suffix, Labels labels, double value);
    /// Whole numbers in full.
    void sample(std::string_view suffix, Labels labels, uint64_t value);
    /// Buckets with their upper bounds, in the canonical form of floats, the last of which holds all that is above; the counts are of each
    /// bucket alone.
    void histogram(Labels labels, std::span<const std::string_view> bounds, std::span<const uint64_t> counts, double sum);
    [[nodiscard]] std::string finish() &&;

private:
    void line(std::string_view suffix, Labels labels, std::string_view bound, std::string_view value);

    std::string name_, text_;
};

}  // namespace sansock::control
