# One short run of a fuzz target. What it finds stays in WORK, which begins as
# a copy of the corpus: the source tree is never written to. The seed is fixed,
# so that a failure comes again; longer runs by hand take other seeds.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/corpus)
file(GLOB inputs ${CORPUS}/*)
if(inputs)
    file(COPY ${inputs} DESTINATION ${WORK}/corpus)
endif()
set(options -seed=1 -max_total_time=5 -timeout=10 -rss_limit_mb=2048
    -artifact_prefix=${WORK}/)
if(DICT)
    list(APPEND options -dict=${DICT})
endif()
execute_process(COMMAND ${PROGRAM} ${options} ${WORK}/corpus
    WORKING_DIRECTORY ${WORK} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "the fuzz target failed (${result}); see ${WORK}")
endif()
