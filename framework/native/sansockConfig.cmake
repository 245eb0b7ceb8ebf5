include(${CMAKE_CURRENT_LIST_DIR}/sansockTargets.cmake)
