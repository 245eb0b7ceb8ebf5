// What libibverbs and librdmacm hand out, owned.
#pragma once
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <memory>

#include "children.hpp"

namespace sansock::verbs {

template <auto Destroy>
struct Destroyer {
    template <class Object>
    void operator()(Object *object) const noexcept {
        (void)Destroy(object);
    }
};

using EventChannel = std::unique_ptr<rdma_event_channel, Destroyer<rdma_destroy_event_channel>>;
using ConnectionId = std::unique_ptr<rdma_cm_id, Destroyer<rdma_destroy_id>>;
using Context = std::unique_ptr<ibv_context, Destroyer<ibv_close_device>>;
using ProtectionDomain = std::unique_ptr<ibv_pd, Destroyer<ibv_dealloc_pd>>;
using MemoryRegion = std::unique_ptr<ibv_mr, Destroyer<ibv_dereg_mr>>;
using CompletionChannel = std::unique_ptr<ibv_comp_channel, Destroyer<ibv_destroy_comp_channel>>;
using DeviceQueue = std::unique_ptr<ibv_cq, Destroyer<ibv_destroy_cq>>;
using QueuePair = std::unique_ptr<ibv_qp, Destroyer<ibv_destroy_qp>>;

/// They cannot be destroyed while there is a queue pair that names them, which may outlive who polls them.
struct DeviceQueues {
    CompletionChannel channel;
    KeptFromChildren kept_channel;
    DeviceQueue sends, arrivals;
};

}  // namespace sansock::verbs
