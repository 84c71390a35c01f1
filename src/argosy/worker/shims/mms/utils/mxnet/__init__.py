"""`mms.utils.mxnet` of the old server: image, array and text functions; each module needs MXNet."""
