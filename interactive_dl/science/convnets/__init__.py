"""Networks of the Stampede2 study: a CIFAR-type ConvNet, AlexNet, CaffeNet and GoogLeNet.

After the deck "Scaling deep learning on Stampede2" (Intel Caffe, MXNet and TensorFlow on Knights
Landing), whose subject is speed. They are trained here on drawings of our own, so that there is
something to learn, too.
"""
