# Debian 12's packages, as they are. The folder that uses one links it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(CONFIG REQUIRED IMPORTED_TARGET libconfig>=1.5)
pkg_check_modules(YAJL REQUIRED IMPORTED_TARGET yajl>=2.1)
pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET
                  libevent_core>=2.1 libevent_extra>=2.1
                  libevent_pthreads>=2.1)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl>=3 libcrypto>=3)
