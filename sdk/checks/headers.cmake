# cmake -DINCLUDE=... -DGLUE=... -DC_COMPILERS=... -DCXX_COMPILERS=... -P headers.cmake
# Compiles every header of the contract alone, in each language and standard that the contract promises, without a warning.
set(strict -pedantic-errors -Wall -Wextra -Werror -fsyntax-only -I${INCLUDE} -I${GLUE})
set(failures "")

function(compile compiler language standard header)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/alone.${language}
    CONTENT "#include \"${header}\"\nextern int not_an_empty_unit;\n")
  execute_process(COMMAND ${compiler} -std=${standard} ${strict} ${CMAKE_CURRENT_BINARY_DIR}/alone.${language}
    RESULT_VARIABLE status ERROR_VARIABLE text)
  if(status)
    message("${header}, ${compiler} -std=${standard}:\n${text}")
    set(failures "${failures};${header}" PARENT_SCOPE)
  endif()
endfunction()

file(GLOB_RECURSE contract RELATIVE ${INCLUDE} ${INCLUDE}/sansock/sdk/*.h)
file(GLOB_RECURSE glue RELATIVE ${GLUE} ${GLUE}/sansock/sdk/cpp/*.hpp)
list(LENGTH contract contract_count)
list(LENGTH glue glue_count)
if(contract_count LESS 10 OR glue_count LESS 5)
  message(FATAL_ERROR "the headers were not found in ${INCLUDE} and ${GLUE}")
endif()
foreach(header IN LISTS contract)
  foreach(standard c11 c17 c2x)
    foreach(compiler IN LISTS C_COMPILERS)
      compile(${compiler} c ${standard} ${header})
    endforeach()
  endforeach()
  foreach(standard c++11 c++14 c++17 c++20 c++2b)
    foreach(compiler IN LISTS CXX_COMPILERS)
      compile(${compiler} cpp ${standard} ${header})
    endforeach()
  endforeach()
endforeach()
# The glue pulls in the standard library, which takes its time: the oldest and the newest standard say enough.
foreach(header IN LISTS glue)
  foreach(standard c++17 c++2b)
    list(GET CXX_COMPILERS 0 compiler)
    compile(${compiler} cpp ${standard} ${header})
  endforeach()
endforeach()
# SANSOCK_HAS needs nothing but its own header, with a writer that knew the member and with one that did not.
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/has.c CONTENT "
#include \"sansock/sdk/version.h\"
struct record { unsigned size; unsigned old; unsigned added; };
int main(void) {
  struct record writer = {8, 0, 0};
  return SANSOCK_HAS(&writer, old) && !SANSOCK_HAS(&writer, added) ? 0 : 1;
}
")
list(GET C_COMPILERS 0 compiler)
execute_process(COMMAND ${compiler} -std=c11 -pedantic-errors -Wall -Wextra -Werror -I${INCLUDE} ${CMAKE_CURRENT_BINARY_DIR}/has.c
  -o ${CMAKE_CURRENT_BINARY_DIR}/has COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CURRENT_BINARY_DIR}/has COMMAND_ERROR_IS_FATAL ANY)
if(failures)
  message(FATAL_ERROR "these headers do not compile alone: ${failures}")
endif()
message("${contract_count} headers of the contract and ${glue_count} of the glue compile alone")
