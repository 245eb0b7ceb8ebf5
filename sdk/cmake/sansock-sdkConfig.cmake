include(${CMAKE_CURRENT_LIST_DIR}/sansock-sdkTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/SansockAddPlugin.cmake)
