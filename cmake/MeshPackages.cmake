# Debian packages by CPack: mesh (the program), libmesh (the library that programs load), libmesh-dev (what they are built with). After a build:
#
#   cpack -G DEB --config build/release/CPackConfig.cmake -B build/packages
#
# What a package needs is found by dpkg-shlibdeps (Debian's dpkg-dev and file).
set(packaging ${CMAKE_SOURCE_DIR}/deploy/packaging/debian)
# What makes a program a service: in the package, not in what `cmake --install` brings.
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/mesh.service DESTINATION /lib/systemd/system COMPONENT service EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/mesh.conf DESTINATION /etc/mesh COMPONENT service EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/mesh.default DESTINATION /etc/default RENAME mesh COMPONENT service EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/mesh RENAME copyright COMPONENT service EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME mesh)
set(CPACK_PACKAGE_VENDOR Mesh)
set(CPACK_PACKAGE_CONTACT "The Mesh authors <mesh@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "message broker without a middle")
set(CPACK_SET_DESTDIR ON) # some files lie outside of the prefix
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_COMPONENTS_ALL mesh service libmesh libmesh-dev)
set(CPACK_COMPONENT_MESH_GROUP mesh)
set(CPACK_COMPONENT_SERVICE_GROUP mesh)
set(CPACK_COMPONENT_LIBMESH_GROUP libmesh)
set(CPACK_COMPONENT_LIBMESH-DEV_GROUP libmesh-dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE OFF)

set(CPACK_DEBIAN_MESH_DESCRIPTION "message broker without a middle
Every broker is alike: one binary, one port, nothing else to run. Records are kept by most of their copies' disks
before they are acknowledged. Clients of Kafka's protocol use the same port.")
set(CPACK_DEBIAN_MESH_PACKAGE_NAME mesh)
set(CPACK_DEBIAN_MESH_PACKAGE_SECTION net)
set(CPACK_DEBIAN_MESH_PACKAGE_DEPENDS passwd)
if(IPSEC_MB_FOUND)
  set(CPACK_DEBIAN_MESH_PACKAGE_RECOMMENDS libipsec-mb1) # opened where it is there, not linked
endif()
set(CPACK_DEBIAN_MESH_PACKAGE_CONTROL_EXTRA
  "${packaging}/postinst;${packaging}/prerm;${packaging}/postrm;${packaging}/conffiles")

set(CPACK_DEBIAN_LIBMESH_DESCRIPTION "client library of the Mesh message broker
The client library of Mesh, as programs load it.")
set(CPACK_DEBIAN_LIBMESH_PACKAGE_NAME libmesh)
set(CPACK_DEBIAN_LIBMESH_PACKAGE_SECTION libs)

set(CPACK_DEBIAN_LIBMESH-DEV_DESCRIPTION "client library of the Mesh message broker, to build with
Headers, the static library and the pkg-config file for programs that use Mesh.")
set(CPACK_DEBIAN_LIBMESH-DEV_PACKAGE_NAME libmesh-dev)
set(CPACK_DEBIAN_LIBMESH-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBMESH-DEV_PACKAGE_SHLIBDEPS OFF)
# The library of the same build, and what the static one and the pkg-config file's private part name.
set(CPACK_DEBIAN_LIBMESH-DEV_PACKAGE_DEPENDS
  "libmesh (= ${PROJECT_VERSION}), libisal-dev, libzstd-dev, liblz4-dev, libsnappy-dev, zlib1g-dev, libprotobuf-c-dev")
include(CPack)
