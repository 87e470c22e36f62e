# One INTERFACE target carries every flag; each of our targets links it.
include(CheckCCompilerFlag)

add_library(pr_options INTERFACE)
target_include_directories(pr_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(pr_options INTERFACE
    _GNU_SOURCE POSTRIDER_VERSION="${PROJECT_VERSION}")
target_compile_options(pr_options INTERFACE
    -Werror -fno-common -fstack-protector-strong -fno-omit-frame-pointer
    $<$<CONFIG:Release,RelWithDebInfo>:-fstack-clash-protection>
    $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE>
    $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=2>)

set(warnings
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2
    -Wnull-dereference -Wdouble-promotion -Wswitch-enum
    -Wimplicit-fallthrough -Wredundant-decls -Wunused-macros
    # gcc only
    -Wcast-align=strict -Wduplicated-cond -Wduplicated-branches -Wlogical-op
    -Wjump-misses-init -Wformat-signedness -Wstringop-overflow=4
    # clang only
    -Wcomma -Wassign-enum -Wconditional-uninitialized -Wloop-analysis
    -Wunreachable-code-break -Wthread-safety)
foreach(flag IN LISTS warnings)
    string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
    check_c_compiler_flag(${flag} ${known})
    if(${known})
        target_compile_options(pr_options INTERFACE ${flag})
    endif()
endforeach()

if(POSTRIDER_SANITIZE)
    # gcc warns of null pointers on paths that only the instrumentation made.
    target_compile_options(pr_options INTERFACE -Wno-null-dereference)
    target_compile_options(pr_options INTERFACE
        -fsanitize=${POSTRIDER_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(pr_options INTERFACE
        -fsanitize=${POSTRIDER_SANITIZE})
endif()
if(POSTRIDER_COVERAGE)
    target_compile_options(pr_options INTERFACE
        --coverage -fprofile-update=atomic)
    target_link_options(pr_options INTERFACE --coverage)
endif()
if(POSTRIDER_FUZZ)
    # The libraries too, or the fuzzer sees no coverage in them.
    target_compile_options(pr_options INTERFACE
        -fsanitize=fuzzer-no-link)
    target_link_options(pr_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
