/* mesh/export.h - marks what the shared library offers. Everything else stays hidden. */
#ifndef MESH_EXPORT_H
#define MESH_EXPORT_H

#if defined(__GNUC__)
#define MESH_EXPORT __attribute__((visibility("default")))
#else
#define MESH_EXPORT
#endif

#endif
