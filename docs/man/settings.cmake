# The page PAGE with what SANSOCK explains in place of @settings@, into OUTPUT.
execute_process(COMMAND ${SANSOCK} config explain OUTPUT_VARIABLE settings COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "_" "\\_" settings "${settings}")
string(REGEX REPLACE "`([^`]*)`" "*\\1*" settings "${settings}")
string(REGEX REPLACE "\n    (Allowed|Default|Needed)" "\n\n    \\1" settings "${settings}")
string(REGEX REPLACE "(\n    (Default|Needed)[^\n]*\n)" "\\1\n" settings "${settings}")
string(REGEX REPLACE "(^|\n)([a-z][A-Za-z_.\\\\]*)\n" "\\1*\\2*\n" settings "${settings}")
string(REPLACE "\n    " "\n\t" settings "${settings}")
configure_file(${PAGE} ${OUTPUT} @ONLY)
