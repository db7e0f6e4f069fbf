module.exports = { serverExternalPackages: ['dynamodb-web-session'] } // it has a native addon
